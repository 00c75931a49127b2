"""Everything that uses the Kafka client: connections, membership, reading, transactions, administration."""
