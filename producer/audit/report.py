"""The report of an audit: how much was found of everything, and the first faults one by one.

missing        a request below the committed offset, or one of its items, has no result
duplicated     an item has more than one result
out_of_order   a result comes after the result of a later item
inconsistent   a result or dead letter contradicts its request, its companions, the group's offsets, or each other
expired        requests that retention has deleted, or whose results it has deleted: they cannot be judged
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

LISTED_FAULTS: Final = 20
"""How many faults are listed one by one; further ones are only counted."""


@dataclass(slots=True)
class Report:
    """What an audit has found. Owner: the auditing task; every `Ledger` adds to it."""

    requests: int = 0
    """Committed requests below the group's committed offset."""
    pending: int = 0
    """Committed requests from the group's committed offset on."""
    expired: int = 0
    results: int = 0
    dead_letters: int = 0
    missing: int = 0
    duplicated: int = 0
    out_of_order: int = 0
    inconsistent: int = 0
    faults: list[str] = field(default_factory=list)
    """The first faults, one sentence each."""
    unproven: bool = False
    """True if there are records, but the group has no committed offset to compare them with."""

    @property
    def clean(self) -> bool:
        """True if nothing is wrong."""
        return not (self.missing or self.duplicated or self.out_of_order or self.inconsistent or self.unproven)

    def list_fault(self, fault: str) -> None:
        """Add a fault to the list, unless the list is full."""
        if len(self.faults) < LISTED_FAULTS:
            self.faults.append(fault)

    def add_inconsistency(self, fault: str) -> None:
        """Count an inconsistency, and list it."""
        self.inconsistent += 1
        self.list_fault(f"inconsistent: {fault}")
