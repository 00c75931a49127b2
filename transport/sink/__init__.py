"""Transactions: results of many partitions and the offsets after their requests, published together or not at all."""
