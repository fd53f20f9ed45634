"""Scrubs whole files: text, JSON, JSON lines and tables, row by row, in processes of their own.

A file is cut into rows (`formats`), rows travel to workers in batches (`crew`, `worker`), and what
comes back is written in order to a file that appears whole or not at all (`output`). What is not
scrubbed is written back as it stood. Nothing here logs, and no error holds text of a file.
"""
