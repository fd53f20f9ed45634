"""What stands where something was found: three modes, and what each needs."""
