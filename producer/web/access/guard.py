"""The way in: who a request is from, whether it may do this, and whether it sends too much."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from starlette.requests import Request

from producer.web.access.allowances import Allowances
from producer.web.access.callers import ANONYMOUS, Caller, Scope, credential, not_signed_in
from producer.web.access.keys import Keys
from producer.web.access.tokens import Tokens
from producer.web.problems import ProblemError, Refusal
from producer.web.settings import AccessSettings


class Guard:
    """Lets requests in. Owner: the server; `run` keeps it current."""

    def __init__(self, settings: AccessSettings) -> None:
        self._keys = None if settings.keys_file is None else Keys(settings.keys_file)
        self._tokens = Tokens(settings.oidc) if settings.oidc.issuer else None
        self._allowances = Allowances(settings)
        self._cors_origins = settings.cors_origins
        self._open_to_all = settings.anonymous

    def load(self) -> None:
        """Read the file of keys.

        Raises
        ------
        KeyFileError
            It cannot be used.
        """
        if self._keys is not None:
            self._keys.load()

    async def run(self) -> None:
        """Follow the file of keys until the task is cancelled."""
        if self._keys is not None:
            await self._keys.follow()

    @contextlib.asynccontextmanager
    async def admit(self, request: Request, scope: Scope) -> AsyncIterator[Caller]:
        """Admit a request for the length of the context.

        Raises
        ------
        ProblemError
            It does not show who it is from, may not do this, or sends too much.
        """
        caller = await self.identify(request)
        request.state.caller = caller.name  # for the log
        if scope not in caller.scopes:
            raise ProblemError(
                Refusal.NOT_ALLOWED,
                f"The key or token lacks the scope {scope}.",
                headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
            )
        # Without keys, an address is all that distinguishes clients.
        address = request.client.host if request.client else ""
        client = address if caller is ANONYMOUS else f"{caller.tenant} {caller.name}"
        with self._allowances.request(client, caller.per_s):
            yield caller

    async def identify(self, request: Request) -> Caller:
        """Return who a request is from.

        Raises
        ------
        ProblemError
            The request has no key or token, or one that is not valid.
        """
        if self._keys is None and self._tokens is None:
            return self._anonymous(request)
        shown = credential(request)
        if shown is None:
            raise not_signed_in("Send an API key or a bearer token in the header Authorization.")
        caller = None if self._keys is None else self._keys.caller(shown)
        if caller is not None:
            return caller
        if self._tokens is None:
            raise not_signed_in("The API key is not known.", error="invalid_token")
        return await self._tokens.caller(shown)

    async def still_admits(self, request: Request, caller: Caller, scope: Scope) -> bool:
        """Return whether a request that was admitted would be admitted now, as the same tenant's."""
        try:
            now = await self.identify(request)
        except ProblemError:
            return False
        return now.tenant == caller.tenant and scope in now.scopes

    def _anonymous(self, request: Request) -> Caller:
        # A browser would send a form of any other site to a server on its own machine.
        if request.headers.get("sec-fetch-site") in {"cross-site", "same-site"} and not self._cors_origins:
            raise ProblemError(Refusal.NOT_ALLOWED, "Pages of other sites may not use this server.")
        # The name of another site may lead to this machine (DNS rebinding); the browser then takes its page for ours.
        if not self._open_to_all and not _is_loopback(request.headers.get("host", "")):
            raise ProblemError(Refusal.NOT_ALLOWED, "Without keys, the server is used under the name localhost only.")
        return ANONYMOUS


@functools.lru_cache(maxsize=64)
def _is_loopback(host_header: str) -> bool:
    try:
        host = urlsplit(f"//{host_header}").hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
