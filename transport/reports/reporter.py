"""What a program reports to: a reporter, which drops reports unless it is that of `transport.reports.sentry`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

Where = Mapping[str, str | int]
NOWHERE: Final[Where] = MappingProxyType({})


class Reporter:
    """Takes reports from any thread. This one drops them, since reports are off."""

    def error(self, what: str, where: Where = NOWHERE, *, error: BaseException | None = None, detail: str = "") -> None:
        """Report an error after which the program goes on. It returns at once and does not raise.

        Parameters
        ----------
        what, detail
            In two to four words, and what distinguishes errors of this kind. No value of a sender belongs in here.
        where
            Such as ``partition``, ``offset`` and ``request_id``.
        error
            Its type and traceback are reported; its message is not.
        """

    def fatal(self, error: Exception) -> None:
        """Report what ends the program, with its traceback. Of a `FatalError` the message is reported, too."""
