"""A real S3 server on loopback, S3Proxy, which keeps objects in memory or in a folder; and its clients' variables."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import obstore
from obstore.store import S3Store

from broker.child_process import start_child
from broker.jars import jars_folder, java_launcher
from broker.ports import free_ports
from broker.probe import HOST

POM: Final = Path(__file__).with_name("s3") / "pom.xml"
KEY_ID: Final = "tester"
SECRET: Final = "secret-of-the-tester"  # noqa: S105  # it opens only this server
START_DEADLINE_S: Final = 60.0
_TRIES: Final = 3
_JVM_OPTIONS: Final = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server.

    Attributes
    ----------
    port
        Where it listens, on loopback.
    process
        It is killed at the end, if it has not been before.
    """

    port: int
    process: subprocess.Popen[bytes]

    def variables(self, *, port: int | None = None, secret: str = SECRET) -> dict[str, str]:
        """Return the variables that lead a client here; or to another port, such as that of a relay."""
        return {
            "AWS_ENDPOINT": f"http://{HOST}:{port or self.port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": secret,
        }

    def bucket(self, name: str) -> S3Store:
        """Make a bucket, and return obstore's own client of it."""
        store = S3Store(
            name,
            endpoint=f"http://{HOST}:{self.port}",
            region="us-east-1",
            access_key_id=KEY_ID,
            secret_access_key=SECRET,
            client_options={"allow_http": True},
        )
        signed = obstore.sign(store, "PUT", "", dt.timedelta(minutes=1))  # obstore itself makes no buckets
        request = urllib.request.Request(signed, method="PUT", data=b"")  # noqa: S310  # the server's address
        with urllib.request.urlopen(request, timeout=START_DEADLINE_S):  # noqa: S310  # as above
            return store


@contextlib.contextmanager
def running_s3_server(folder: Path, *, objects: Path | None = None, at_port: int | None = None) -> Iterator[S3Server]:
    """Run a server for the length of the block.

    Parameters
    ----------
    folder
        For its settings and its log.
    objects
        The folder that keeps the objects for the next server; None: they are in memory.
    at_port
        Where it listens; None: any free port.

    Raises
    ------
    NotInstalledError
        Java is missing, or Maven and the jars.
    """
    java, jars = java_launcher(), jars_folder("s3proxy", POM)
    command = [java, *_JVM_OPTIONS, "-cp", f"{jars}/*", "org.gaul.s3proxy.Main", "--properties", "s3proxy.conf"]
    for _ in range(_TRIES):  # another process may take the port first
        port = free_ports(1)[0] if at_port is None else at_port
        (folder / "s3proxy.conf").write_text(
            f"s3proxy.endpoint=http://{HOST}:{port}\n"
            "s3proxy.authorization=aws-v2-or-v4\n"
            f"s3proxy.identity={KEY_ID}\n"
            f"s3proxy.credential={SECRET}\n"
            f"jclouds.provider={'transient-nio2' if objects is None else 'filesystem-nio2'}\n"
            f"jclouds.filesystem.basedir={objects or folder}\n"
            "jclouds.identity=unused\n"
            "jclouds.credential=unused\n"
        )
        with (folder / "s3proxy.log").open("wb") as log:
            process = start_child(command, output=log, cwd=folder)
        try:
            if _listens(process, port):
                yield S3Server(port, process)
                return
        finally:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
    raise AssertionError(f"S3Proxy did not start:\n{(folder / 's3proxy.log').read_text()}")


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """Return True once it accepts connections, False if it ends or never does."""
    deadline_s = time.monotonic() + START_DEADLINE_S
    while process.poll() is None and time.monotonic() < deadline_s:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return True
        time.sleep(0.05)
    return False
