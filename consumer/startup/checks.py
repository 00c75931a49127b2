"""Start-up checks: whether there is a broker, the topics exist, and their settings fit.

What would lose records or cannot work stops the start in one line; what merely does not fit is a warning.
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

UNREAD_RESULTS: Final = (
    "a partition in which the group has no offset, but results, will not start (DIGITS_KAFKA__AUTO_OFFSET_RESET)"
)
OLD_BROKER: Final = "exactly once is only tested with, and claimed for, 4.0 on"


async def check_cluster(settings: Settings) -> int:
    """Wait for the brokers and look at the topics.

    Returns
    -------
    dead_letter_bytes
        The largest record that the dead-letter topic takes.

    Raises
    ------
    FatalError
        No broker answered in time, one refused us, or a topic or a right is missing.
    """
    check_client()
    topics = settings.topics
    async with open_admin_client(settings.kafka) as (admin, listed):
        if has_old_broker(admin):
            log.warning("broker is older than Kafka 4.0", action=OLD_BROKER)
        found = await found_topics(admin, settings, listed)
        await check_rights(admin, settings)
        if why := await unread_results(admin, settings):
            log.warning("results may not be read", why=why, action=UNREAD_RESULTS)
    for misfit in misfits(topics, found, record_bytes=settings.limits.record_bytes):
        log.warning(
            "topic does not fit",
            topic=misfit.topic,
            setting=misfit.setting,
            found=misfit.found,
            wanted=misfit.wanted,
            action=misfit.consequence,
        )
    return int((found[topics.dead_letter].config or {}).get("max.message.bytes", BROKER_DEFAULTS["max.message.bytes"]))


async def found_topics(
    admin: AdminClient, settings: Settings, listed: Mapping[str, list[dict[str, Any]]]
) -> dict[str, TopicFound]:
    """Describe our three topics.

    Parameters
    ----------
    admin, settings
        Where, and which.
    listed
        The partitions of all topics that may be seen, by name.

    Raises
    ------
    FatalError
        One is missing, or may not be seen.
    """
    names = list(settings.topics.by_role.values())
    missing = [name for name in names if name not in listed]
    if missing:
        await check_describe_rights(admin, settings, missing)
        raise FatalError(
            f"no topic {', '.join(missing)} on {settings.kafka.bootstrap_servers}; topics are not created here"
        )
    configs = await topic_configs(admin, names)
    return {name: TopicFound(len(listed[name]), len(listed[name][0]["replicas"]), configs.get(name)) for name in names}


async def unread_results(admin: AdminClient, settings: Settings) -> str | None:
    """Say why results may not be read, None if they may, or need not be: only a group without offsets would need it."""
    if settings.kafka.auto_offset_reset is not AutoOffsetReset.AFTER_RESULTS:
        return None
    return await results_read_denial(admin, settings)
