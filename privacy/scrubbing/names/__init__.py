"""Names, places and addresses without a form of their own: a small model and its lists."""
