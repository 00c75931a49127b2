"""Fetching: raw record batches of many partitions, only for those whose lane has room."""
