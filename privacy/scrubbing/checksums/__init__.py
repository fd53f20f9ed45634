"""Checksums and registries that tell an identifier from a number that looks like one."""
