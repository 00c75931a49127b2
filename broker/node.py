"""One Kafka server: broker and controller in one JVM, its files in one folder.

::

    node-1/
      server.properties   written at every start, since ports may change
      data/               Kafka's own; formatted once
      server.log          appended to at every start
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from broker.child_process import start_child
from broker.errors import BrokerError, PortTakenError
from broker.jars import jars_folder, java_launcher

JVM_OPTIONS: Final = (
    "-Xms128m",
    "-Xmx400m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # a broker that lives for minutes gains more from a fast start than from C2
    "-XX:-UsePerfData",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",  # 400 lines of defaults at each start
)
FORMAT_DEADLINE_S: Final = 60.0


class Node:
    """A server that can be started, stopped, killed, frozen and started again.

    Attributes
    ----------
    folder
        Where its files lie.
    port
        Where clients reach it, on loopback.
    relayed_port
        Where a relay reaches it, if the cluster has relays.
    scram_port, plain_port, token_port
        Where clients reach it that come with a password or a token, if the cluster is secure.
    jvm_options
        More options for its Java.
    inherited_fds
        File descriptors that its process holds as long as it lives.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.relayed_port = 0
        self.scram_port = self.plain_port = self.token_port = 0
        self.jvm_options: Sequence[str] = ()
        self.inherited_fds: tuple[int, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0  # bytes of the log that belong to earlier starts

    @property
    def is_running(self) -> bool:
        """True from `start` until its process ends."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the process last started."""
        if self._process is None:
            raise BrokerError(f"{self.folder.name} was never started")
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has logged since its last start."""
        with (self.folder / "server.log").open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def configure(self, properties: Mapping[str, str]) -> None:
        """Write the settings for the next start; the folder of the data is added to them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [f"{name}={value}\n" for name, value in properties.items()]
        path = self.folder / "server.properties"
        path.touch(mode=0o600)  # passwords may stand in it
        path.write_text("".join([*lines, f"log.dirs={self.folder / 'data'}\n"]))

    def format(self, cluster_id: str, options: Sequence[str] = ()) -> None:
        """Prepare the data folder for its first start; a folder that has been started is left as it is.

        Parameters
        ----------
        cluster_id
            Of the cluster that it becomes a part of.
        options
            More options of Kafka's storage tool.
        """
        if (self.folder / "data" / "meta.properties").exists():
            return
        command = [*self._java(), "kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}"]  # may begin with -
        done = subprocess.run(  # noqa: S603  # our own command
            [*command, "--config", "server.properties", *options],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=FORMAT_DEADLINE_S,
        )
        if done.returncode != 0:
            raise BrokerError(f"Kafka's storage tool could not format {self.folder}:\n{_errors_in_log(done.stdout)}")

    def start(self) -> None:
        """Start the process and return at once; `check` and a request show whether it is up."""
        with (self.folder / "server.log").open("ab") as log:
            self._log_start = log.tell()
            command = [*self._java(), "kafka.Kafka", "server.properties"]
            self._process = start_child(command, output=log, cwd=self.folder, inherited_fds=self.inherited_fds)

    def check(self) -> None:
        """Raise if the process has ended.

        Raises
        ------
        PortTakenError
            One of its ports is taken.
        BrokerError
            It ended for another reason; the message ends with the errors of its log.
        """
        if self.is_running:
            return
        printed = self.log
        error = PortTakenError if "failed to bind" in printed else BrokerError
        raise error(f"{self.folder.name} of the Kafka broker ended, its log says:\n{_errors_in_log(printed)}")

    def stop(self, deadline_s: float = 15.0) -> None:
        """Stop it in good order: leaders move, files are closed. After the deadline it is killed.

        Parameters
        ----------
        deadline_s
            Seconds; an idle node takes one, the last of a cluster five.
        """
        if self._process is None:
            return
        self._process.terminate()
        self._process.send_signal(signal.SIGCONT)  # a frozen process handles it only after SIGCONT
        try:
            self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.kill()
        finally:
            self._close_pipe()

    def kill(self) -> None:
        """Kill it as a power cut would, also if it is frozen (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._close_pipe()

    def freeze(self) -> None:
        """Freeze it, like a machine that stalls (SIGSTOP): connections stay open, but nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue it after `freeze`."""
        os.kill(self.pid, signal.SIGCONT)

    def _java(self) -> list[str]:
        return [java_launcher(), *JVM_OPTIONS, *self.jvm_options, "-cp", f"{jars_folder()}/*"]

    def _close_pipe(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()


def _errors_in_log(log: str, count: int = 15) -> str:
    """Pick the last errors, Java's own words included; if there are none, the last lines."""
    lines = log.strip().splitlines()
    errors = [line for line in lines if not re.search(r" (INFO|WARN) |^\tat ", line)]
    return "\n".join((errors or lines)[-count:])
