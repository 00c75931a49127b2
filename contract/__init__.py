"""The wire contract: the topics, and the records, headers and error codes on them."""
