"""A site: its data, its model, its store, and how they are put together."""
