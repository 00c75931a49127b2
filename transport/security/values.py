"""The forms of values in settings of the connection: brokers, the address of a token endpoint, and pairs."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

_SERVER: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s,:@/]+):\d+")


def without_blanks(servers: object) -> object:
    """Accept lists with blanks and a comma at the end: ``a:9092, b:9092 ,``."""
    if not isinstance(servers, str):
        return servers
    return ",".join(each.strip() for each in servers.strip().removesuffix(",").split(","))


def checked_servers(servers: str) -> str:
    """Refuse what is not a list of HOST:PORT."""
    if not all(_SERVER.fullmatch(each) for each in servers.split(",")):
        raise ValueError("each broker must be HOST:PORT, such as kafka.example:9092")
    return servers


def checked_token_endpoint(url: str) -> str:
    """Refuse an address to which the secret must not be sent."""
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.fragment or not parts.hostname or parts.scheme not in {"https", "http"}:
        raise ValueError("must be https://HOST/PATH, without a user and a password")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ValueError("must be https: the client's secret would be sent unencrypted")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def checked_pairs(text: str) -> str:
    """Refuse what is not a list of NAME=VALUE."""
    for each in text.split(","):
        name, separator, value = each.partition("=")
        if not separator or not name.strip() or not value.strip():
            raise ValueError("must be NAME=VALUE, comma-separated")
    return text


def read_pairs(text: str | None) -> dict[str, str]:
    """Return the values by their names; none if nothing is set."""
    pairs = (each.partition("=") for each in text.split(",")) if text else ()
    return {name.strip(): value.strip() for name, _, value in pairs}
