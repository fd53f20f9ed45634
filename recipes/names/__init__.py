"""How the names model of `privacy.scrubbing.names` is made: `make ner` runs this package.

Nothing here is installed with the product. It writes text about invented people in many languages'
names, makes the word lists, trains the network and writes both with their digests.
"""
