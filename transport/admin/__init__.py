"""Requests about the cluster itself: which brokers answer, which topics exist, what is allowed."""
