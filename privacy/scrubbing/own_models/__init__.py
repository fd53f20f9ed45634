"""A site's own recognisers: a spaCy, Hugging Face or GLiNER folder, or a function of its own.

What is described here is loaded and asked in a process of its own (`secure_fl.own_models`), so this
package imports no model library until `loading.load` is called there.
"""

from privacy.scrubbing.own_models.description import OwnFunction, OwnModel, OwnModelKind

__all__ = ["OwnFunction", "OwnModel", "OwnModelKind"]
