"""What a container's health check asks and says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from broker.ports import free_ports
from consumer.observe import healthcheck as probe
from consumer.settings import HealthSettings
from tests.harness.shadowing_packages import make_shadowing_packages

ROOT = Path(__file__).parents[4]


class Answers(BaseHTTPRequestHandler):
    status = 200
    text = ""

    def do_GET(self) -> None:
        assert self.path == "/readyz"
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("DIGITS_HEALTH__PORT", str(server.server_port))
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(("status", "text"), [(200, "ok\n"), (503, "not ready: the service is starting\n")])
def test_the_healthcheck_repeats_the_answer_of_the_service(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: int, text: str
) -> None:
    monkeypatch.setattr(Answers, "status", status)
    monkeypatch.setattr(Answers, "text", text)
    assert probe.main() == (0 if status == 200 else 1)
    assert capsys.readouterr().out == text


def test_a_port_that_is_given_is_asked_instead(
    server: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DIGITS_HEALTH__PORT", str(free_ports(1)[0]))
    monkeypatch.setattr(Answers, "status", 200)
    monkeypatch.setattr(Answers, "text", "ok\n")
    assert (probe.main(), probe.main(str(server))) == (1, 0)
    assert capsys.readouterr().out.endswith("\nok\n")


def test_a_service_that_does_not_answer_is_not_ready(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("DIGITS_HEALTH__PORT", str(port))
    assert probe.main() == 1
    assert capsys.readouterr().out.startswith(f"no answer at 127.0.0.1:{port}: ")


def test_it_asks_where_the_service_listens() -> None:
    default = HealthSettings()
    assert probe.address({}) == (default.host, default.port)
    assert probe.address({"DIGITS_HEALTH__HOST": "0.0.0.0", "DIGITS_HEALTH__PORT": "9"}) == ("127.0.0.1", 9)  # noqa: S104  # nothing is bound
    assert probe.address({"DIGITS_HEALTH__HOST": "::"}) == ("::1", 8080)


@pytest.mark.usefixtures("server")
def test_the_health_check_of_the_image_runs_no_code_of_the_current_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (command,) = re.findall(r"HEALTHCHECK .*?CMD (\[.*?\])", (ROOT / "Dockerfile").read_text(), flags=re.DOTALL)
    monkeypatch.setattr(Answers, "status", 200)
    monkeypatch.setattr(Answers, "text", "ok\n")
    make_shadowing_packages(tmp_path)
    asked = [sys.executable, *json.loads(command)[1:]]
    done = subprocess.run(asked, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "ok\n")


def test_it_needs_the_standard_library_alone() -> None:
    load = "import sys, consumer.observe.healthcheck"
    loaded = f"{load}; print(*sorted({{each.partition('.')[0] for each in sys.modules}}))"
    modules = subprocess.run([sys.executable, "-c", loaded], check=True, capture_output=True, text=True).stdout.split()
    assert "consumer" in modules
    assert {"pydantic", "aiohttp", "aiokafka", "typer"}.isdisjoint(modules)
