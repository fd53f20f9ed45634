"""What leaks, and the document that says so. Audits read runs and never change one."""
