"""What travels between us and a broker for which aiokafka 0.14 has no request or error."""
