"""What ``digit-consumer check`` finds without a broker."""

from __future__ import annotations

import pytest

from consumer.settings import Settings
from consumer.startup import check as command
from transport.errors import FatalError


@pytest.fixture(autouse=True)
def _without_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    async def skipped(*_: object) -> None:
        pass

    monkeypatch.setattr(command, "_check_model", skipped)


async def test_a_client_with_changed_private_parts_is_reported_and_not_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def changed() -> None:
        raise FatalError("aiokafka lacks Sender._sender_routine")

    monkeypatch.setattr(command, "check_client", changed)
    monkeypatch.setattr(command, "open_admin_client", lambda _: pytest.fail("the client was used"))
    assert await command.check(Settings()) == command.MISFIT
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "WRONG  client    aiokafka lacks Sender._sender_routine"
    assert [line.split()[:2] for line in lines[2:]] == [["-", "brokers"], ["-", "topics"], ["-", "rights"]]


async def test_the_installed_client_is_as_expected(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings()
    unreachable = settings.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1", "wait_s": 0.0})
    assert await command.check(settings.model_copy(update={"kafka": unreachable})) == command.MISFIT
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("ok     client    aiokafka ")
    assert lines[2].startswith("WRONG  brokers   no broker has answered at 127.0.0.1:1")
