"""Labelled clinical and banking notes of the project's own, in which every name is invented.

Made so that scrubbing can be trained, tried and measured where no record may be shown: each note
says where its names, places, dates and numbers stand. See `generator.labelled_notes`.
"""

from domains.notes.generator import LabelledNote, NoteKind, Part, labelled_notes

__all__ = ["LabelledNote", "NoteKind", "Part", "labelled_notes"]
