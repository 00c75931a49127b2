"""A response that is made while it is sent, and that owns what it needs for that."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class Stream(StreamingResponse):
    """Sends pieces as they come, and closes what it owns at the end, also if the client leaves before the first piece.

    Parameters
    ----------
    content
        The pieces.
    media_type
        Their media type.
    owned
        Closed when the response ends.
    headers
        Further headers.
    """

    def __init__(
        self,
        content: AsyncIterator[bytes],
        media_type: str,
        owned: contextlib.AsyncExitStack,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(content, headers=headers, media_type=media_type)
        self._owned = owned

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        async with self._owned:
            await super().__call__(scope, receive, send)
