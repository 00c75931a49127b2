"""One broker or several that form a cluster, from the choice of ports to the last file removed.

A cluster of three keeps three copies of each partition and acknowledges a write once two have it, so
it loses nothing and goes on when any one node ends.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from broker.errors import BrokerError, PortTakenError
from broker.node import Node
from broker.ports import free_ports
from broker.probe import HOST, live_brokers
from broker.topics import create_topics

START_DEADLINE_S: Final = 60.0
"""Generous: a busy machine may take long; a broker that ends is noticed at once."""
LOCK_DEADLINE_S: Final = 3.0
"""As long as brokers take to end whose starter was killed a moment ago."""
_TRIES: Final = 5


class Cluster:
    """Brokers on loopback. Owner: whoever started it, who also stops it.

    Parameters
    ----------
    folder
        Where all files lie; a folder used before brings its topics and records back.
    nodes
        How many; a folder used before must be given the same number again.
    port
        Of the first node; by default a free one.
    properties
        Broker settings that replace or join those of `_properties`.
    """

    def __init__(
        self, folder: Path, *, nodes: int = 1, port: int | None = None, properties: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.nodes = [Node(folder / f"node-{number}", port or 0) for number in range(1, nodes + 1)]
        self._port = port
        self._extra = dict(properties or {})
        self._id = ""
        self._lock = contextlib.ExitStack()

    @property
    def bootstrap_servers(self) -> str:
        """Where clients find it: ``host:port``, comma-separated."""
        return ",".join(f"{HOST}:{node.port}" for node in self.nodes)

    def start(self) -> None:
        """Start all nodes and return once they answer and know of each other.

        Raises
        ------
        BrokerError
            With the reason, and the last lines of the log if there is one.
        """
        self._take_folder()
        try:
            self._id = self._known_id() or base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            for tries_left in reversed(range(_TRIES)):
                try:
                    return self._start_once()
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
        while any(live_brokers(node.port, self._id, timeout_s=1.0) < len(self.nodes) for node in self.nodes):
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
        self._lock.close()

    async def create_topics(self, configs: Mapping[str, Mapping[str, str]], *, partitions: int = 8) -> None:
        """Create topics, with as many copies as there are nodes (three at most).

        See `broker.topics.create_topics`.
        """
        await create_topics(self.bootstrap_servers, configs, partitions=partitions, replicas=min(3, len(self.nodes)))

    def _stop_nodes(self) -> None:
        """End them together: controllers need a majority to say goodbye to."""
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(Node.stop, self.nodes))

    def _take_folder(self) -> None:
        """Lock the folder for us and for every node's process.

        Kafka has a lock of its own, but looks at it too late: a second server has by then written
        into the metadata log of the first, which dies of it. The nodes hold our lock as well, since
        they may outlive us by a moment.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = self._lock.enter_context((self.folder / "lock").open("w"))
        deadline = time.monotonic() + LOCK_DEADLINE_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    self._lock.close()
                    raise BrokerError(f"{self.folder} is in use by another broker") from error
            time.sleep(0.05)
        for node in self.nodes:
            node.keeps_open = (lock.fileno(),)

    def _known_id(self) -> str | None:
        """Return the id that a folder used before gives the cluster."""
        known = list(self.folder.glob("node-*/data/meta.properties"))
        if len(known) not in (0, len(self.nodes)):
            raise BrokerError(f"{self.folder} holds a cluster of {len(known)} nodes, not of {len(self.nodes)}")
        lines = known[0].read_text().splitlines() if known else []
        return next((line.removeprefix("cluster.id=") for line in lines if line.startswith("cluster.id=")), None)

    def _start_once(self) -> None:
        ports = free_ports(2 * len(self.nodes), avoid=self._port)
        controllers = ports[len(self.nodes) :]
        for node, port in zip(self.nodes, ports, strict=False):
            node.port = port
        if self._port is not None:
            self.nodes[0].port = self._port
        for number in range(1, len(self.nodes) + 1):
            self.nodes[number - 1].configure(self._properties(number, controllers))
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(lambda node: node.format(self._id), self.nodes))
        for node in self.nodes:
            node.start()
        self.wait_until_ready()

    def _properties(self, number: int, controllers: list[int]) -> dict[str, str]:
        copies = min(3, len(self.nodes))
        voters = [f"{voter}@{HOST}:{port}" for voter, port in enumerate(controllers, start=1)]
        client, controller = f"CLIENT://{HOST}:{self.nodes[number - 1].port}", f"{HOST}:{controllers[number - 1]}"
        return {
            "node.id": str(number),
            "process.roles": "broker,controller",
            "controller.quorum.voters": ",".join(voters),
            "listeners": f"{client},CONTROLLER://{controller}",
            "advertised.listeners": client,
            "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "CLIENT",
            "controller.listener.names": "CONTROLLER",
            "auto.create.topics.enable": "false",
            "default.replication.factor": str(copies),
            "min.insync.replicas": str(max(1, copies - 1)),
            "offsets.topic.replication.factor": str(copies),
            "offsets.topic.num.partitions": "8",
            "transaction.state.log.replication.factor": str(copies),
            "transaction.state.log.min.isr": str(max(1, copies - 1)),
            "transaction.state.log.num.partitions": "8",
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",  # a timeout is noticed at once
            "group.initial.rebalance.delay.ms": "0",  # do not wait for members that may still come
            "group.min.session.timeout.ms": "1000",  # tests declare members dead early
            "broker.heartbeat.interval.ms": "500",
            "broker.session.timeout.ms": "3000",  # a killed broker comes back only when its old session has ended
            "log.cleaner.dedupe.buffer.size": str(8 * 1024 * 1024),  # by default a third of our heap
            **self._extra,
        }


@contextlib.contextmanager
def running_broker(
    *,
    nodes: int = 1,
    port: int | None = None,
    data_dir: Path | None = None,
    properties: Mapping[str, str] | None = None,
) -> Iterator[Cluster]:
    """Run brokers for the length of a ``with`` block; they also end when this process does, however it ends.

    Parameters
    ----------
    nodes, port, properties
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
        cluster = Cluster(folder, nodes=nodes, port=port, properties=properties)
        cluster.start()
        stack.callback(cluster.stop)
        yield cluster
