"""Writes disagreements into a folder: each picture as a file, and a line of JSON for each with both answers.

`digit-engine compare` reads the folder; the names of files and fields are in docs/contract.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from aiokafka import ConsumerRecord

from contract.disagreements import Disagreement, InvalidDisagreementError
from engine.codecs.formats import EXTENSIONS, payload_format
from producer.errors import UsageError
from transport.record_batch import Unreadable

LINES: Final = "disagreements.jsonl"


class DisagreementFolder:
    """A folder that has each picture once, however often it is exported. Owner: the command.

    Parameters
    ----------
    folder
        It is made if it is missing. Lines that it has already stay.

    Raises
    ------
    UsageError
        The folder cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lines = folder / LINES
        self._known: set[tuple[str, str, str]] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self._lines.exists():
                for line in self._lines.read_text(encoding="utf-8").splitlines():
                    kept = json.loads(line)
                    self._known.add(
                        (
                            kept["result_id"],
                            kept["champion"]["model"]["sha256"],
                            kept["challenger"]["model"]["sha256"],
                        )
                    )
        except OSError as error:
            raise UsageError(f"cannot use {str(folder)!r}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{str(self._lines)!r} has something else than disagreements: {error}") from error

    def add(self, records: Iterable[ConsumerRecord | Unreadable]) -> tuple[int, int]:
        """Write what is new of these records.

        Returns
        -------
        written, unknown
            How many were new; and how many records are no disagreements.

        Raises
        ------
        UsageError
            The folder cannot be written to.
        """
        written = unknown = 0
        try:
            with self._lines.open("a", encoding="utf-8") as lines:
                for record in records:
                    if isinstance(record, Unreadable) or (about := _about(record)) is None:
                        unknown += 1
                        continue
                    key = (about.result_id, about.champion.model.sha256, about.challenger.model.sha256)
                    if key in self._known:
                        continue
                    self._known.add(key)
                    name = self._write(about.result_id, record.value)
                    shown = {"file": name, "at_ms": record.timestamp, **about.model_dump(mode="json")}
                    lines.write(json.dumps(shown) + "\n")
                    written += 1
        except OSError as error:
            raise UsageError(f"cannot write to {str(self._folder)!r}: {error.strerror}") from error
        return written, unknown

    def _write(self, result_id: str, picture: bytes) -> str:
        # Not the item's own name: its sender chose it, and it could point anywhere on the disk.
        stem = re.sub(r"[^A-Za-z0-9._-]", "_", result_id)[-200:].lstrip(".")
        payload = payload_format(picture)
        name = f"{stem}{'.bin' if payload is None else EXTENSIONS[payload]}"
        (self._folder / name).write_bytes(picture)
        return name


def _about(record: ConsumerRecord) -> Disagreement | None:
    """Parse a record of the topic; None if it is no disagreement."""
    try:
        return None if not record.value else Disagreement.read(record.headers)
    except InvalidDisagreementError:
        return None
