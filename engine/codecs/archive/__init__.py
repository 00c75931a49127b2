"""Untrusted zip archives: the directory is read first, then the entries are inflated one at a time."""
