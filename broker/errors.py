"""What can go wrong between "start a broker" and its first answer."""

from __future__ import annotations


class BrokerError(Exception):
    """The broker cannot run; the message says why and, where something is missing, what to install."""


class NotInstalledError(BrokerError):
    """Java or Maven is missing on this machine; the message says what to install."""


class PortTakenError(BrokerError):
    """Someone else bound one of the node's ports between our choice and its start."""
