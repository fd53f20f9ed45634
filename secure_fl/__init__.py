"""Federated tuning of one language model by parties that show nobody their records."""

from secure_fl import installation as _installation

_installation.check_rooms()

__version__ = "0.1.0"
