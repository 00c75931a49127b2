"""What both sides of the topics share: records, headers, error codes, topics, connection settings."""
