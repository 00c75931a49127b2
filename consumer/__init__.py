"""Moves records between Kafka and the engine, exactly once. Start reading at `consumer.service`."""
