"""All that knows the Kafka client: connections, membership, reading, transactions, administration."""
