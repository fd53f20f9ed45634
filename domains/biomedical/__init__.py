"""Biomedical text: questions that published abstracts answer."""
