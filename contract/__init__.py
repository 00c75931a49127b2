"""What travels on the topics: records, headers, error codes, dead letters, and the topics themselves."""
