"""The folder of a cluster: only one cluster may use it at a time, and it stores the cluster's id.

::

    FOLDER/
      lock
      node-1/  node-2/ ...    see `broker.node`
"""

from __future__ import annotations

import base64
import fcntl
import time
import uuid
from pathlib import Path
from typing import IO, Final

from broker.errors import BrokerError

LOCK_DEADLINE_S: Final = 3.0
"""Long enough for brokers to end whose parent process was just killed."""


def lock_folder(folder: Path) -> IO[str]:
    """Create and lock a folder; the lock ends when all processes have closed the returned file.

    Kafka checks its own lock too late: by then a second server has already written to the metadata log of the first
    one, which fails.

    Raises
    ------
    BrokerError
        Another broker uses the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "lock").open("w")
    deadline = time.monotonic() + LOCK_DEADLINE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                lock.close()
                raise BrokerError(f"{folder} is in use by another broker") from error
            time.sleep(0.05)
        else:
            return lock


def cluster_id(folder: Path, *, nodes: int) -> str:
    """Return the id of the cluster in a folder; a new id if the folder is empty.

    Raises
    ------
    BrokerError
        The folder has a cluster with another number of nodes.
    """
    known = list(folder.glob("node-*/data/meta.properties"))
    if not known:
        return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    if len(known) != nodes:
        raise BrokerError(f"{folder} holds a cluster of {len(known)} nodes, not of {nodes}")
    properties = dict(line.split("=", 1) for line in known[0].read_text().splitlines() if "=" in line)
    return properties["cluster.id"]
