"""What tests, demonstration and benchmarks share: a broker's topics, the service as a process, waiting."""
