"""Checks that run before the first record is fetched."""
