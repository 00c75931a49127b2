"""Start-up checks: a broker answers, the topics exist, and their settings are right.

A problem that would lose records, or with which the service cannot work, stops the start with one message. Any other
problem is logged as a warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import structlog

from consumer.settings import AutoOffsetReset, Settings
from contract.topics import BROKER_DEFAULTS, TopicFound, misfits
from transport.admin.admin_client import AdminClient, has_old_broker, open_admin_client, topic_configs
from transport.admin.authorization import check_describe_rights, check_rights, results_read_denial
from transport.errors import FatalError
from transport.internals import check_client

log = structlog.get_logger()

RESULTS_NOT_READABLE: Final = (
    "a partition that has results, but no committed offset of the group, will not start "
    "(DIGITS_KAFKA__AUTO_OFFSET_RESET)"
)
OLD_BROKER: Final = "exactly-once delivery is tested and promised with Kafka 4.0 or newer only"


async def check_cluster(settings: Settings) -> int:
    """Wait for the brokers, then check topics and rights.

    Returns
    -------
    dead_letter_bytes
        The largest record that the dead-letter topic accepts.

    Raises
    ------
    FatalError
        No broker answered in time, a broker refused the connection, or a topic or a right is missing.
    """
    check_client()
    topics = settings.topics
    async with open_admin_client(settings.kafka) as (admin, listed):
        if has_old_broker(admin):
            log.warning("broker older than Kafka 4.0", why=OLD_BROKER, action="continuing")
        found = await found_topics(admin, settings, listed)
        await check_rights(admin, settings)
        if why := await results_denial(admin, settings):
            log.warning("results not readable", why=f"{why}: {RESULTS_NOT_READABLE}", action="continuing")
    for misfit in misfits(topics, found, record_bytes=settings.limits.record_bytes):
        log.warning(
            "topic does not fit",
            topic=misfit.topic,
            setting=misfit.setting,
            found=misfit.found,
            wanted=misfit.wanted,
            why=misfit.consequence,
            action="continuing",
        )
    return int((found[topics.dead_letter].config or {}).get("max.message.bytes", BROKER_DEFAULTS["max.message.bytes"]))


async def found_topics(
    admin: AdminClient, settings: Settings, listed: Mapping[str, list[dict[str, Any]]]
) -> dict[str, TopicFound]:
    """Describe the three topics of the service.

    Parameters
    ----------
    admin, settings
        The client to ask, and the settings that name the topics.
    listed
        The partitions of all visible topics, by topic name.

    Raises
    ------
    FatalError
        A topic is missing, or is not visible to this user.
    """
    names = list(settings.topics.by_role.values())
    missing = [name for name in names if name not in listed]
    if missing:
        await check_describe_rights(admin, settings, missing)
        raise FatalError(
            f"no topic {', '.join(missing)} on {settings.kafka.bootstrap_servers}; "
            "create it first: the service creates no topics"
        )
    configs = await topic_configs(admin, names)
    return {name: TopicFound(len(listed[name]), len(listed[name][0]["replicas"]), configs.get(name)) for name in names}


async def results_denial(admin: AdminClient, settings: Settings) -> str | None:
    """Return why the results cannot be read; None if they can, or if no partition needs them to find its start."""
    if settings.kafka.auto_offset_reset is not AutoOffsetReset.AFTER_RESULTS:
        return None
    return await results_read_denial(admin, settings)
