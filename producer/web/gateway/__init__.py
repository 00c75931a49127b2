"""The Kafka side of the HTTP front door: it sends requests, awaits their results, and finds earlier ones in the log."""
