"""Errors from the start of a broker to its first answer."""

from __future__ import annotations


class BrokerError(Exception):
    """The broker cannot run; the message has the reason, and what to install if something is missing."""


class NotInstalledError(BrokerError):
    """Java or Maven is missing on this machine; the message says what to install."""


class PortTakenError(BrokerError):
    """Another program took one of the node's ports after we had chosen it."""
