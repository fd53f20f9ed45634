"""How much may leave: updates, clipping, noise, accounting, the ledger and scrubbing."""
