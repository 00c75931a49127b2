"""The rights that the service needs: checked at the start, and named in one sentence when one is denied later.

Without the check, a missing right that only dead letters need would stop the service weeks after its start.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    TransactionalIdAuthorizationFailed,
    for_code,
)
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.transaction import AddPartitionsToTxnRequest, TxnOffsetCommitRequest

from transport.admin.admin_client import ask_any_broker
from transport.denials import denial
from transport.errors import FatalError, describe
from transport.internals import send_as_admin
from transport.settings.kafka import GroupSettings

NO_SUCH_PARTITION: Final = 2**31 - 1
"""A partition number that no topic has."""


def id_prefix(settings: GroupSettings) -> str:
    """Return what the transactional ids of the group's instances begin with."""
    return f"{settings.kafka.group_id}."


async def check_describe_rights(admin: AIOKafkaAdminClient, settings: GroupSettings, missing: Iterable[str]) -> None:
    """Find topics that exist and are hidden by a missing right: the list of all topics leaves them out.

    Raises
    ------
    FatalError
        The message names the missing rights.
    """
    # The client's public request would create the topics.
    answer = await _send(admin, MetadataRequest(list(missing), allow_auto_topic_creation=False))
    _raise_denials(
        denial(for_code(code)(topic), topic_right="Read" if topic == settings.topics.requests else "Write")
        for code, topic, *_ in answer.topics
    )


async def check_rights(admin: AIOKafkaAdminClient, settings: GroupSettings) -> None:
    """Send two steps of a transaction for a partition that does not exist, and check that they are not denied.

    The broker checks the rights first, and then finds that there is no such partition. The requests change nothing.

    Raises
    ------
    FatalError
        The message names the missing rights. If the transactional id is denied, the broker reports no other right.
    """
    topics, unknown = settings.topics, (-1, -1)  # producer id and epoch, of a producer that does not exist either
    by_id = f"{id_prefix(settings)}check"
    targets = [(topics.predictions, [NO_SUCH_PARTITION]), (topics.dead_letter, [NO_SUCH_PARTITION])]
    if topics.disagreements:
        targets.append((topics.disagreements, [NO_SUCH_PARTITION]))
    sources = [(topics.requests, [(NO_SUCH_PARTITION, 0, "")])]
    writing = await _send(admin, AddPartitionsToTxnRequest(by_id, *unknown, targets))
    # This step needs the right to read the topic whose offsets are committed.
    reading = await _send(admin, TxnOffsetCommitRequest(by_id, settings.kafka.group_id, *unknown, sources))
    resources = {TransactionalIdAuthorizationFailed: by_id, GroupAuthorizationFailedError: settings.kafka.group_id}
    _raise_denials(
        denial(for_code(code)(resources.get(for_code(code), topic)), topic_right=right)
        for answer, right in ((writing, "Write"), (reading, "Read"))
        for topic, [(_, code)] in answer.errors
    )


async def results_read_denial(admin: AIOKafkaAdminClient, settings: GroupSettings) -> str | None:
    """Name the missing right to read results; None if we may read them."""
    topic, group = settings.topics.predictions, settings.kafka.group_id
    step = TxnOffsetCommitRequest(f"{id_prefix(settings)}check", group, -1, -1, [(topic, [(NO_SUCH_PARTITION, 0, "")])])
    answer = await _send(admin, step)
    denials = (denial(for_code(code)(topic), topic_right="Read") for _, [(_, code)] in answer.errors)
    return next(filter(None, denials), None)


async def _send(admin: AIOKafkaAdminClient, request: Any) -> Any:
    try:
        return await ask_any_broker(lambda: send_as_admin(admin, request))
    except (KafkaError, TimeoutError) as error:
        raise FatalError(f"the broker does not answer the check of rights: {describe(error)}") from error


def _raise_denials(found: Iterable[str | None]) -> None:
    missing = dict.fromkeys(sentence for sentence in found if sentence)  # several answers may name the same right
    if missing:
        raise FatalError("; ".join(missing))
