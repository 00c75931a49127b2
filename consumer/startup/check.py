"""``digit-consumer check``: checks everything that the service needs to start, and prints a line for each.

It does not join the group and writes no record, so it can run while the service runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from importlib import metadata
from typing import Final

import typer

from consumer.settings import Settings
from consumer.startup.checks import OLD_BROKER, RESULTS_NOT_READABLE, found_topics, results_denial
from consumer.startup.model import fetch_challenger, fetch_model
from consumer.workers.processes.deaths import WorkerNotStarted
from consumer.workers.processes.pinned_model import PinnedModel
from consumer.workers.processes.process import WorkerProcess
from consumer.workers.processes.spec import WorkerSpec
from consumer.workers.protocol import Compiling
from contract.topics import misfits
from engine.model.files import ModelError
from engine.registry.stores import StoreUnavailable
from release.printable import printable
from transport.admin.admin_client import AdminClient, has_old_broker, open_admin_client
from transport.admin.authorization import check_rights, id_prefix
from transport.errors import FatalError, InvalidSettingError
from transport.internals import check_client
from transport.settings.kafka import PREFIX

FITS: Final = 0
"""Everything is right."""
MISFIT: Final = 1
"""The service would not start, or would log a warning at its start."""
WRONG_SETTING: Final = 2
"""A setting cannot be used, or the model that is set cannot be used."""


class Findings:
    """Prints each finding, and keeps the exit code. Owner: the command."""

    def __init__(self) -> None:
        self.exit_code = FITS

    def fits(self, subject: str, what: str) -> None:
        """Print something that is right."""
        self._show("ok", subject, what)

    def misfit(self, subject: str, what: str, *, exit_code: int = MISFIT) -> None:
        """Print something that is wrong, and remember its exit code."""
        self._show("WRONG", subject, what)
        self.exit_code = max(self.exit_code, exit_code)

    def skipped(self, subject: str, why: str) -> None:
        """Print what could not be checked, because of a misfit that is printed elsewhere."""
        self._show("-", subject, why)

    def _show(self, verdict: str, subject: str, what: str) -> None:
        typer.echo(f"{verdict:<6} {subject:<9} {printable(what)}")


async def check(settings: Settings) -> int:
    """Check settings, model, client, brokers, topics and rights; print a line for each, and return the exit code."""
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
    findings.fits("client", f"aiokafka {metadata.version('aiokafka')} has the private parts that this release uses")
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
        _skip(findings, "topics", "rights", why="no broker can be reached")
    return findings.exit_code


def _skip(findings: Findings, *subjects: str, why: str) -> None:
    for subject in subjects:
        findings.skipped(subject, f"not checked: {why}")


async def _check_model(settings: Settings, findings: Findings) -> None:
    """Start a worker that loads the models and reads their known digits, as each worker of the service does."""
    try:
        fetched = await asyncio.to_thread(fetch_model, settings)
        challenger = await asyncio.to_thread(fetch_challenger, settings)
        for warning in (*fetched.warnings, *challenger.warnings):
            findings.misfit("model", warning)
        with (
            contextlib.closing(PinnedModel.of(fetched.files, settings.model)) as model,
            contextlib.closing(challenger),
        ):
            spec = WorkerSpec.of(settings, model, challenger.model)
            async with WorkerProcess.started(spec, _say_compiling) as worker:
                findings.fits("model", f"{_named(model)}: reads its known digits")
            if problem := challenger.problem or worker.challenger_problem:
                findings.misfit("model", f"{problem} (DIGITS_CHALLENGER)")
            elif challenger.model is not None:
                findings.fits("model", f"challenger {_named(challenger.model)}: reads its known digits")
    except (ModelError, OSError) as error:
        findings.misfit("model", f"{error} (DIGITS_MODEL)", exit_code=WRONG_SETTING)
    except InvalidSettingError as error:
        findings.misfit("model", str(error), exit_code=WRONG_SETTING)
    except (WorkerNotStarted, StoreUnavailable) as error:
        findings.misfit("model", f"not checked: {error}")


def _named(model: PinnedModel) -> str:
    return f"{model.info.name} {model.info.version}, sha256 {model.info.sha256}"


def _say_compiling(compiling: Compiling) -> None:
    typer.echo(f"compiling, once: {compiling.done} of {compiling.total}", err=True)


async def _check_topics(
    admin: AdminClient, settings: Settings, findings: Findings, listed: dict[str, list[dict[str, object]]]
) -> None:
    found = await found_topics(admin, settings, listed)
    wrong = list(misfits(settings.topics, found, record_bytes=settings.limits.record_bytes))
    for name, topic in found.items():
        unseen = "" if topic.config is not None else "; its settings cannot be read (missing ACL: DescribeConfigs)"
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
    if why := await results_denial(admin, settings):
        findings.misfit("rights", f"{why}: {RESULTS_NOT_READABLE}")
        return
    findings.fits(
        "rights", f"topics, group {settings.kafka.group_id} and transactional ids {id_prefix(settings)}… may be used"
    )
