"""ACLs of a secure cluster, given and taken by its admin; and those that docs/security.md says are needed."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest

from broker import Cluster
from tests.harness.topics import Broker
from tests.harness.waiting import eventually

DOCUMENT: Final = Path(__file__).parents[2] / "docs/security.md"
_KINDS: Final = {"topic": 2, "group": 3, "cluster": 4, "transactional_id": 5}
_OPERATIONS: Final = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10}
_LITERAL, _PREFIXED, _ANY_PATTERN = 3, 4, 1
_ALLOW: Final = 3
_Acl = tuple[int, str, int, str, str, int, int]
"""Kind, name and pattern of the resource; principal, host, operation and permission."""


class Right(NamedTuple):
    """What an ACL allows, but for whom."""

    operation: str
    kind: str
    name: str
    prefixed: bool

    def __str__(self) -> str:
        return f"{self.operation} {self.kind} {self.name}"

    def of(self, broker: Broker) -> Right:
        """Return the same for a test's own topics and group instead of the default ones."""
        names = {
            "digits.requests": broker.topics.requests,
            "digits.predictions": broker.topics.predictions,
            "digits.dead-letter": broker.topics.dead_letter,
            "digits.disagreements": f"{broker.topics.requests}.disagreements",
            "digits.http-keys": f"{broker.topics.requests}.keys",
            "digits.http-keys.": f"{broker.topics.requests}.keys.",
        }
        return self._replace(name=names.get(self.name) or re.sub("^digitstream", broker.group_id, self.name))


def documented(before: str) -> list[Right]:
    """Return the rights in the first block of commands after a text of the document."""
    _, found, rest = DOCUMENT.read_text(encoding="utf-8").partition(before)
    assert found, f"{DOCUMENT} says nothing of {before!r}"
    block = rest.split("```sh\n", 1)[1].split("```")[0]
    return [right for line in block.splitlines() for right in _rights(line)]


async def allow(cluster: Cluster, user: str, rights: Collection[Right]) -> None:
    """Give a user rights, and return once every node of one knows."""
    async with _Admin(cluster) as admin:
        for right in rights:
            answer = await admin.ask(CreateAclsRequest(*_acl(right, user)))
            assert [code for code, _ in answer.creation_responses] == [0]
        given = {_acl(right, user) for right in rights}
        await eventually(lambda: admin.known(user), lambda known: given <= known)


async def take_away(cluster: Cluster, user: str, right: Right) -> None:
    """Take a right from a user, and return once the node knows."""
    async with _Admin(cluster) as admin:
        await admin.ask(DeleteAclsRequest(*_acl(right, user)))
        await eventually(lambda: admin.known(user), lambda known: _acl(right, user) not in known)


async def take_all_away(cluster: Cluster, user: str) -> None:
    """Take all rights from a user, and return once the node knows."""
    async with _Admin(cluster) as admin:
        await admin.ask(DeleteAclsRequest(*_all_of(user)))
        await eventually(lambda: admin.known(user), lambda known: not known)


class _Admin:
    def __init__(self, cluster: Cluster) -> None:
        self._client = AIOKafkaAdminClient(**cluster.client_options)

    async def __aenter__(self) -> Self:
        await self._client.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def ask(self, request: Any) -> Any:
        return await self._client._send_request(request)

    async def known(self, user: str) -> set[_Acl]:
        """Return the rights of a user that the node goes by."""
        answer = await self.ask(DescribeAclsRequest(*_all_of(user)))
        return {
            (kind, name, pattern, principal, host, operation, permission)
            for kind, name, pattern, acls in answer.resources
            for principal, host, operation, permission in acls
        }


def _all_of(user: str) -> tuple[int, None, int, str, None, int, int]:
    any_resource, any_operation, any_permission = 1, 1, 1
    return any_resource, None, _ANY_PATTERN, f"User:{user}", None, any_operation, any_permission


def _acl(right: Right, user: str) -> _Acl:
    pattern = _PREFIXED if right.prefixed else _LITERAL
    return _KINDS[right.kind], right.name, pattern, f"User:{user}", "*", _OPERATIONS[right.operation], _ALLOW


def _rights(line: str) -> Iterable[Right]:
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--add", action="store_true", required=True)
    parser.add_argument("--allow-principal", required=True)
    parser.add_argument("--operation", choices=_OPERATIONS, required=True)
    parser.add_argument("--resource-pattern-type", choices=["literal", "prefixed"], default="literal")
    for kind in _KINDS:
        parser.add_argument(f"--{kind.replace('_', '-')}", action="append", default=[])
    tool, *arguments = shlex.split(line)
    assert tool == "kafka-acls.sh"
    given = parser.parse_args(arguments)
    for kind in _KINDS:
        for name in getattr(given, kind):
            yield Right(given.operation, kind, name, given.resource_pattern_type == "prefixed")
