"""The settings of a node: what makes a Kafka small, quick to start and quick to notice what died."""

from __future__ import annotations

from broker.probe import HOST


def replication_factor(nodes: int) -> int:
    """Return how many copies of a partition a cluster keeps: three, or as many as it has nodes."""
    return min(3, nodes)


def server_properties(number: int, ports: list[int], controllers: list[int]) -> dict[str, str]:
    """Write the settings of one node of a cluster.

    Parameters
    ----------
    number
        Of the node; the first is 1.
    ports, controllers
        Of all nodes in order: where clients reach them, and where they reach each other's controllers.

    References
    ----------
    https://kafka.apache.org/43/configuration/broker-configs/
    """
    kept = str(replication_factor(len(ports)))
    needed = str(
        max(1, replication_factor(len(ports)) - 1)
    )  # of three copies two acknowledge a write, so one node may end
    client, controller = f"CLIENT://{HOST}:{ports[number - 1]}", f"CONTROLLER://{HOST}:{controllers[number - 1]}"
    return {
        "node.id": str(number),
        "process.roles": "broker,controller",
        "controller.quorum.voters": ",".join(f"{voter}@{HOST}:{port}" for voter, port in enumerate(controllers, 1)),
        "listeners": f"{client},{controller}",
        "advertised.listeners": client,
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENT",
        "controller.listener.names": "CONTROLLER",
        "auto.create.topics.enable": "false",
        "default.replication.factor": kept,
        "min.insync.replicas": needed,
        "offsets.topic.replication.factor": kept,
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.replication.factor": kept,
        "transaction.state.log.min.isr": needed,
        "transaction.state.log.num.partitions": "8",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",  # a timeout is noticed at once
        "group.initial.rebalance.delay.ms": "0",  # do not wait for members that may still come
        "group.min.session.timeout.ms": "1000",  # tests declare members dead early
        "broker.heartbeat.interval.ms": "500",
        "broker.session.timeout.ms": "3000",  # a killed broker comes back only when its old session has ended
        "request.timeout.ms": "10000",  # the end of a transaction waits so long for a broker that hangs
        "log.cleaner.dedupe.buffer.size": str(8 * 1024 * 1024),  # by default a third of our heap
    }


def add_relay_listener(properties: dict[str, str], port: int, relay: int) -> dict[str, str]:
    """Add a second address to a node's settings, at which clients reach it through a relay.

    Parameters
    ----------
    properties
        Of `server_properties`.
    port
        Where the node listens for the relay.
    relay
        The relay's port, which is the one that metadata for these clients names.
    """
    added = {
        "listeners": f"RELAYED://{HOST}:{port}",
        "advertised.listeners": f"RELAYED://{HOST}:{relay}",
        "listener.security.protocol.map": "RELAYED:PLAINTEXT",
    }
    return properties | {name: f"{properties[name]},{value}" for name, value in added.items()}
