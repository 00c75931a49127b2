"""``digit-consumer check``: looks at all that the service needs, line by line, and starts nothing of it.

It does not join the group and writes no record, so it can run beside a service that works.
"""

from __future__ import annotations

import contextlib
import os
from importlib import metadata
from typing import Final

import typer

from consumer.settings import Settings
from consumer.startup.checks import OLD_BROKER, UNREAD_RESULTS, found_topics, unread_results
from consumer.workers.pinned_model import PinnedModel
from consumer.workers.process import WorkerNotStarted, WorkerProcess, WorkerSpec
from consumer.workers.protocol import Compiling
from contract.topics import misfits
from engine.model.files import ModelError
from transport.admin.admin_client import AdminClient, has_old_broker, open_admin_client
from transport.admin.authorization import check_rights, transactional_id
from transport.errors import FatalError, InvalidSettingError
from transport.internals import check_client
from transport.settings.kafka import PREFIX

FITS: Final = 0
"""All is as it should be."""
MISFIT: Final = 1
"""The service would not start, or would start with a warning."""
WRONG_SETTING: Final = 2
"""A setting cannot be used; the model is one."""


class Findings:
    """What was found so far. Owner: the command."""

    def __init__(self) -> None:
        self.exit_code = FITS

    def fits(self, subject: str, what: str) -> None:
        """Report something that is as it should be."""
        self._show("ok", subject, what)

    def misfit(self, subject: str, what: str, *, exit_code: int = MISFIT) -> None:
        """Report something that is not."""
        self._show("WRONG", subject, what)
        self.exit_code = max(self.exit_code, exit_code)

    def skipped(self, subject: str, why: str) -> None:
        """Report what could not be looked at, because of something that is reported itself."""
        self._show("-", subject, why)

    def _show(self, verdict: str, subject: str, what: str) -> None:
        typer.echo(f"{verdict:<6} {subject:<9} {what}")


async def check(settings: Settings) -> int:
    """Check settings, model, client, brokers, topics and rights; print a line each, and return the exit code."""
    findings = Findings()
    given = sorted(name.upper() for name in os.environ if name.upper().startswith(PREFIX))
    findings.fits("settings", f"set: {', '.join(given) or 'none'}; all others have their defaults")
    await _check_model(settings, findings)
    try:
        check_client()
    except FatalError as error:
        findings.misfit("client", str(error))
        _skip(findings, "brokers", "topics", "rights", why="the Kafka client is not the one that this release needs")
        return findings.exit_code
    findings.fits("client", f"aiokafka {metadata.version('aiokafka')}: has the private parts that this release uses")
    try:
        async with open_admin_client(settings.kafka) as (admin, listed):
            findings.fits("brokers", f"{settings.kafka.bootstrap_servers} ({settings.kafka.security_protocol})")
            if has_old_broker(admin):
                findings.misfit("brokers", f"a broker is older than Kafka 4.0: {OLD_BROKER}")
            try:
                await _check_topics(admin, settings, findings, listed)
            except FatalError as error:
                findings.misfit("topics", str(error))
            await _check_rights(admin, settings, findings)
    except FatalError as error:
        findings.misfit("brokers", str(error))
        _skip(findings, "topics", "rights", why="there is no broker to ask")
    return findings.exit_code


def _skip(findings: Findings, *subjects: str, why: str) -> None:
    for subject in subjects:
        findings.skipped(subject, f"not looked at: {why}")


async def _check_model(settings: Settings, findings: Findings) -> None:
    """Have a worker load the model: it does with it what it does for the service, known digits included."""
    try:
        with contextlib.closing(PinnedModel.read(settings.model)) as model:
            async with WorkerProcess.started(WorkerSpec.of(settings, model), _say_compiling):
                info = model.info
                findings.fits("model", f"{info.name} {info.version}, sha256 {info.sha256}: reads its known digits")
    except (ModelError, OSError) as error:
        findings.misfit("model", f"{error} (DIGITS_MODEL)", exit_code=WRONG_SETTING)
    except InvalidSettingError as error:
        findings.misfit("model", str(error), exit_code=WRONG_SETTING)
    except WorkerNotStarted as error:
        findings.misfit("model", f"not looked at: {error}")


def _say_compiling(compiling: Compiling) -> None:
    typer.echo(f"compiling, once: {compiling.done} of {compiling.total}", err=True)


async def _check_topics(
    admin: AdminClient, settings: Settings, findings: Findings, listed: dict[str, list[dict[str, object]]]
) -> None:
    found = await found_topics(admin, settings, listed)
    wrong = list(misfits(settings.topics, found, record_bytes=settings.limits.record_bytes))
    for name, topic in found.items():
        unseen = "" if topic.config is not None else "; its settings may not be read (ACL: DescribeConfigs)"
        if not any(misfit.topic == name for misfit in wrong):
            findings.fits("topics", f"{name}: {topic.partitions} partitions, {topic.replicas} replicas{unseen}")
    for misfit in wrong:
        findings.misfit("topics", str(misfit))


async def _check_rights(admin: AdminClient, settings: Settings, findings: Findings) -> None:
    try:
        await check_rights(admin, settings)
    except FatalError as error:
        findings.misfit("rights", str(error))
        return
    if why := await unread_results(admin, settings):
        findings.misfit("rights", f"{why}: {UNREAD_RESULTS}")
        return
    ids = transactional_id(settings, 0).rpartition(".")[0]
    findings.fits("rights", f"topics, group {settings.kafka.group_id} and transactional ids {ids}.… may be used")
