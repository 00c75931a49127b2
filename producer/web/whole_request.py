"""Recognises a plain request that has arrived as a whole, so that an overloaded server refuses it without parsing it.

A server that understands the length of a request in another way than a proxy before it may take the end of one for the
beginning of the next (CWE-444). So whatever is not plain is left to the parser.
"""

from __future__ import annotations

import re
from typing import Final

_LINE: Final = (
    rb"(?:(?!content-length|transfer-encoding|connection|expect|upgrade)"
    rb"[!#$%&'*+.^_`|~0-9a-z-]+:[\t -~\x80-\xff]*\r\n)*"
)
"""Any number of headers that do not change how a request ends, or what becomes of its connection."""
_HEAD: Final = re.compile(
    rb"POST [!-~]+ HTTP/1\.1\r\n(?i:" + _LINE + rb"content-length: *([0-9]{1,9})\r\n" + _LINE + rb")\r\n"
)


def is_whole_post(data: bytes) -> bool:
    """Return whether bytes are one POST request of HTTP/1.1, all of it and nothing else, after which a client goes on.

    False may also mean that it is not plain enough to be certain.
    """
    head = _HEAD.match(data)
    return head is not None and int(head[1]) == len(data) - head.end()
