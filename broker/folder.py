"""The folder of a cluster: one user at a time, and an identity that it keeps.

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
"""As long as brokers take to end whose starter was killed a moment ago."""


def lock_folder(folder: Path) -> IO[str]:
    """Lock a folder, which is made if need be, until the file returned is closed by all who hold it.

    Kafka has a lock of its own, but looks at it too late: a second server has by then written into the
    metadata log of the first, which dies of it.

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
    """Return the id of the cluster that lives in a folder, a new one if it is empty.

    Raises
    ------
    BrokerError
        It holds a cluster of another number of nodes.
    """
    known = list(folder.glob("node-*/data/meta.properties"))
    if not known:
        return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    if len(known) != nodes:
        raise BrokerError(f"{folder} holds a cluster of {len(known)} nodes, not of {nodes}")
    properties = dict(line.split("=", 1) for line in known[0].read_text().splitlines() if "=" in line)
    return properties["cluster.id"]
