"""A process for a site's own recognisers, in which they may hang, die and print what they read."""

from secure_fl.own_models.recognizers import OwnRecognizers

__all__ = ["OwnRecognizers"]
