"""What an audit comes to: how much of everything, and the first faults one by one.

missing        a request below the committed offset, or one of its items, has no result
duplicated     an item has more than one
out_of_order   a result stands behind one of a later item
inconsistent   a result or dead letter contradicts its request, its companions, the group's offsets, or each other
expired        requests that retention has deleted, or something about them: they cannot be judged
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

OFFENDERS: Final = 20
"""How many faults are told one by one."""


@dataclass(slots=True)
class Report:
    """The balance. Owner: the auditing task; every `Ledger` adds to it."""

    requests: int = 0
    """Committed requests below the group's committed offset."""
    pending: int = 0
    """Committed requests from there on."""
    expired: int = 0
    results: int = 0
    dead_letters: int = 0
    missing: int = 0
    duplicated: int = 0
    out_of_order: int = 0
    inconsistent: int = 0
    offenders: list[str] = field(default_factory=list)
    """The first faults, a sentence each."""
    unproven: bool = False
    """True if there are records, and no committed offset to compare them with."""

    @property
    def clean(self) -> bool:
        """True if nothing is wrong."""
        return not (self.missing or self.duplicated or self.out_of_order or self.inconsistent or self.unproven)

    def tell(self, fault: str) -> None:
        """Keep a fault's sentence, if it is among the first."""
        if len(self.offenders) < OFFENDERS:
            self.offenders.append(fault)

    def contradicts(self, fault: str) -> None:
        """Count something inconsistent."""
        self.inconsistent += 1
        self.tell(f"inconsistent: {fault}")
