"""One broker or several that form a cluster, from the choice of ports to the last file removed.

A cluster of three keeps three copies of each partition and acknowledges a write once two have it, so
it loses nothing and goes on when any one node ends.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from broker.errors import BrokerError, PortTakenError
from broker.folder import cluster_id, lock_folder
from broker.node import Node
from broker.ports import check_port_free, free_ports
from broker.probe import HOST, count_live_brokers
from broker.properties import add_relay_listener, replication_factor, server_properties
from broker.security import Security
from broker.topics import create_topics

START_DEADLINE_S: Final = 60.0
"""A busy machine may need long. A broker that ends is noticed at once."""
_TRIES: Final = 5


class Cluster:
    """Brokers on loopback. Owner: the caller that started it, which also stops it.

    Parameters
    ----------
    folder
        Where all files are; if the folder was used before, its topics and records are there again.
    nodes
        How many; for a folder that was used before, the same number as then.
    port
        Of the first node; by default a free one.
    properties
        Broker settings that replace or join those of `broker.properties`.
    relays
        Ports on loopback, one a node, where the caller listens and passes connections on to the node's
        `relayed_port`. Metadata sent to these clients names only these ports; other clients and the
        nodes themselves get the usual ones.
    secure
        True for TLS, users and ACLs; see `broker.security`. Clients then connect to `Node.port` by mutual TLS.
    features
        Versions of Kafka's features that are not the newest, when a folder is formatted: ``transaction.version`` 1,
        for example.

    Attributes
    ----------
    security
        Certificates and users of a cluster that is `secure`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 1,
        port: int | None = None,
        properties: Mapping[str, str] | None = None,
        relays: Sequence[int] = (),
        secure: bool = False,
        features: Mapping[str, int] | None = None,
    ) -> None:
        self.folder = folder
        self.nodes = [Node(folder / f"node-{number}", port or 0) for number in range(1, nodes + 1)]
        self._port = port
        self._extra = dict(properties or {})
        self._relays = relays
        self.security = Security(folder) if secure else None
        self._features = dict(features or {})
        self._id = ""
        self._held = contextlib.ExitStack()

    @property
    def bootstrap_servers(self) -> str:
        """Where clients find it: ``host:port``, comma-separated."""
        return ",".join(f"{HOST}:{node.port}" for node in self.nodes)

    @property
    def scram_servers(self) -> str:
        """Where clients find a secure one that come with a password, by SASL/SCRAM."""
        return ",".join(f"{HOST}:{node.scram_port}" for node in self.nodes)

    @property
    def plain_servers(self) -> str:
        """Where clients find a secure one that come with a password, by SASL/PLAIN."""
        return ",".join(f"{HOST}:{node.plain_port}" for node in self.nodes)

    @property
    def token_servers(self) -> str:
        """Where clients find a secure one that come with a token, by SASL/OAUTHBEARER."""
        return ",".join(f"{HOST}:{node.token_port}" for node in self.nodes)

    @property
    def client_options(self) -> dict[str, Any]:
        """How an aiokafka client reaches it, as one who may do everything."""
        options = self.security.client_options() if self.security else {}
        return {"bootstrap_servers": self.bootstrap_servers, **options}

    def start(self) -> None:
        """Start all nodes and return once they answer and know of each other.

        Raises
        ------
        BrokerError
            With the reason, and with what the log says if there is one.
        """
        if self._port is not None:
            check_port_free(self._port)
        lock = self._held.enter_context(lock_folder(self.folder))
        for node in self.nodes:
            node.inherited_fds = (lock.fileno(),)  # a node may outlive us by a moment, and needs its folder then
        try:
            self._id = cluster_id(self.folder, nodes=len(self.nodes))
            for tries_left in reversed(range(_TRIES)):
                try:
                    return self._start_nodes()
                except PortTakenError:
                    if self._port is not None or not tries_left:
                        raise
                    self._stop_nodes()
        except BaseException:
            self.stop()
            raise

    def wait_until_ready(self, deadline_s: float = START_DEADLINE_S) -> None:
        """Return once every node answers and counts every other one as alive.

        Raises
        ------
        BrokerError
            A node ended, or the deadline passed.
        """
        deadline = time.monotonic() + deadline_s
        tls = self.security.client_context() if self.security else None
        while any(
            count_live_brokers(node.port, self._id, timeout_s=1.0, tls=tls) < len(self.nodes) for node in self.nodes
        ):
            for node in self.nodes:
                node.check()
            if time.monotonic() > deadline:
                raise BrokerError(f"the Kafka broker does not answer after {deadline_s:.0f} s; see {self.folder}")
            time.sleep(0.05)

    def wait(self) -> None:
        """Return never; raise `BrokerError` when a node ends by itself."""
        while True:
            for node in self.nodes:
                node.check()
            time.sleep(0.2)

    def stop(self) -> None:
        """End all nodes in good order, and let go of the folder."""
        self._stop_nodes()
        self._held.close()

    async def create_topics(self, configs: Mapping[str, Mapping[str, str]], *, partitions: int = 8) -> None:
        """Create topics, with as many copies as the cluster keeps; see `broker.topics.create_topics`."""
        replicas = replication_factor(len(self.nodes))
        await create_topics(self.client_options, configs, partitions=partitions, replicas=replicas)

    def _start_nodes(self) -> None:
        count = len(self.nodes)
        free = free_ports(6 * count, avoid=self._port)
        ports, controllers, relayed, scram, plain, token = (free[start::6] for start in range(6))
        ports[0] = self._port or ports[0]
        for number, node in enumerate(self.nodes, start=1):
            node.port = ports[number - 1]
            properties = server_properties(number, ports, controllers)
            if self._relays:
                node.relayed_port = relayed[number - 1]
                properties = add_relay_listener(properties, node.relayed_port, self._relays[number - 1])
            if self.security:
                node.scram_port, node.plain_port, node.token_port = (
                    scram[number - 1],
                    plain[number - 1],
                    token[number - 1],
                )
                properties = self.security.secure_properties(
                    properties, scram_port=node.scram_port, plain_port=node.plain_port, token_port=node.token_port
                )
                node.jvm_options = self.security.jvm_options()
            node.configure(properties | self._extra)
        options = [f"--feature={name}={version}" for name, version in self._features.items()]
        options += self.security.format_options() if self.security else []
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(lambda node: node.format(self._id, options), self.nodes))
        for node in self.nodes:
            node.start()
        self.wait_until_ready()

    def _stop_nodes(self) -> None:
        """Stop all nodes at the same time: a controller that stops needs a majority of the others to be there."""
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(Node.stop, self.nodes))


@contextlib.contextmanager
def running_broker(
    *,
    nodes: int = 1,
    port: int | None = None,
    data_dir: Path | None = None,
    properties: Mapping[str, str] | None = None,
    relays: Sequence[int] = (),
    secure: bool = False,
    features: Mapping[str, int] | None = None,
) -> Iterator[Cluster]:
    """Run brokers for the length of a ``with`` block; they also end when this process does, however it ends.

    Parameters
    ----------
    nodes, port, properties, relays, secure, features
        As for `Cluster`.
    data_dir
        Kept if given; otherwise a temporary folder, removed at the end (not if this process is killed).

    Raises
    ------
    BrokerError
        The brokers could not be started.
    """
    with contextlib.ExitStack() as stack:
        if data_dir is None:
            folder = Path(tempfile.mkdtemp(prefix="digitstream-broker-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        else:
            folder = data_dir.resolve()
        cluster = Cluster(
            folder,
            nodes=nodes,
            port=port,
            properties=properties,
            relays=relays,
            secure=secure,
            features=features,
        )
        cluster.start()
        stack.callback(cluster.stop)
        yield cluster
