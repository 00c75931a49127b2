"""``digit-broker``, and what it needs from the machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from broker import BrokerError
from broker.cli import app
from broker.jars import jars_folder, java_launcher

COMMAND = [sys.executable, "-m", "broker", "run"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["run", *arguments])


def install(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no program but those of this folder, and an empty cache."""
    folder = tmp_path / "bin"
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.usefixtures("cluster")  # says whether this machine can run one
def test_it_prints_its_address_and_shuts_down_on_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    with subprocess.Popen([*COMMAND, "--data-dir", str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        host, _, port = process.stdout.readline().strip().partition(":")
        assert (host, port.isdigit()) == ("127.0.0.1", True)
        process.send_signal(number)
        assert process.wait(30) == 0
    assert "shut down completed" in (tmp_path / "node-1" / "server.log").read_text()


@pytest.mark.usefixtures("cluster")
def test_it_fails_when_kafka_ends_by_itself(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "--data-dir", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        [kafka] = [int(each) for each in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        os.kill(kafka, signal.SIGKILL)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"node-1 of the Kafka broker ended" in errors


@pytest.mark.usefixtures("programs")
def test_without_java_one_line_says_what_to_install() -> None:
    outcome = run()
    assert (outcome.exit_code, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith("digit-broker: Kafka needs Java")
    assert "install Java 17 or newer" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_an_old_java_is_named_with_what_to_install(programs: Path) -> None:
    install(programs, "java", """echo 'openjdk version "11.0.2" 2019-01-15' >&2""")
    with pytest.raises(BrokerError, match=r'bin/java \(openjdk version "11.*install Java 17 or newer'):
        java_launcher()


@pytest.mark.usefixtures("programs")
def test_without_maven_one_line_says_what_to_install() -> None:
    with pytest.raises(BrokerError, match=r"needs Maven once: install it .*apt install maven\)$"):
        jars_folder()


def test_callers_that_need_the_jars_at_once_fetch_them_once(programs: Path, tmp_path: Path) -> None:
    install(programs, "mvn", f'echo fetched >> {tmp_path}/log; for last; do :; done; /bin/mkdir "${{last#*=}}"')
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: jars_folder(), range(4)))
    assert (tmp_path / "log").read_text() == "fetched\n"
    assert [folder.is_dir() for folder in folders] == [True]


def test_a_fetch_that_failed_says_why_and_is_tried_again(programs: Path) -> None:
    install(programs, "mvn", "echo no route to host; exit 1")
    for _ in range(2):
        with pytest.raises(BrokerError, match="no route to host"):
            jars_folder()


def test_a_taken_port_is_named_in_one_line_before_java_starts(programs: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = run("--port", str(port))
    assert outcome.exit_code == 1
    assert outcome.stderr == (
        f"digit-broker: port {port} on 127.0.0.1 cannot be used (Address already in use): "
        "choose another one by --port\n"
    )
    assert not programs.exists(), "there is no java here, and none was looked for"


@pytest.mark.parametrize("port", ["0", "65536"])
def test_a_port_that_cannot_exist_is_refused_with_its_option(port: str) -> None:
    outcome = run("--port", port)
    assert outcome.exit_code == 2
    assert "Invalid value for '--port'" in outcome.stderr
