"""Federated tuning methods: what is trained, what is shared, and the server's rule."""

from secure_fl.methods.method import Method, SeenUpdates
from secure_fl.methods.registry import METHODS, find_method, method_of

__all__ = ["METHODS", "Method", "SeenUpdates", "find_method", "method_of"]
