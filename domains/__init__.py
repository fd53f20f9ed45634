"""Whose data, which task: records, loaders, generators, partitions, heads and scores."""
