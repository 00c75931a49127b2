"""A real Apache Kafka from its released jars, on loopback, for development and tests."""

from broker.cluster import Cluster, running_broker
from broker.errors import BrokerError, NotInstalledError

__all__ = ["BrokerError", "Cluster", "NotInstalledError", "running_broker"]
