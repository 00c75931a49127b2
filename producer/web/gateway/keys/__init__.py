"""Requests that are sent once: the topic of their keys, an index of it, and the transactions that write both."""
