"""Recognisers that go by a form, a checksum, a label or a cue: one module for each field."""
