"""Who can read which bytes: keys, signatures, masks, shares, sums and the log.

This is the lowest room. It knows bytes, ring elements, shares, masks, keys, signatures and
leaves; it knows no float, no model and no epsilon.
"""
