"""Code that tests, demonstration and benchmarks share: topics on a broker, the service as a process, waiting."""
