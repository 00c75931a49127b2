"""Bearer tokens (JWT) of an OpenID provider: signature, issuer, audience, times, scopes, and whose they are."""

from __future__ import annotations

from typing import Any

import jwt

from producer.web.access.callers import Caller, not_signed_in
from producer.web.access.signing_keys import NoKeysError, SigningKeys
from producer.web.problems import ProblemError, Refusal
from producer.web.settings import OidcSettings


class Tokens:
    """Checks tokens. Owner: the server."""

    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        self._keys = SigningKeys(settings)

    async def caller(self, token: str) -> Caller:
        """Return whom a token is of.

        Raises
        ------
        ProblemError
            The token is not valid: the detail says what is wrong with it. Or the provider's keys cannot be fetched.
        """
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise _invalid("It is neither a known API key nor a token.") from None
        # The header is not trusted: the algorithm must be in our list, and `decode` also compares it with the key's.
        if header.get("alg") not in self._settings.algorithms:
            raise _invalid("The token is signed by an algorithm that is not accepted.")
        key_id = header.get("kid")
        try:
            key = await self._keys.find(key_id if isinstance(key_id, str) else None)
        except NoKeysError:
            raise ProblemError(
                Refusal.UNAVAILABLE, "The keys of the token's issuer cannot be fetched.", retry_after_s=10
            ) from None
        if key is None:
            raise _invalid("The token is signed with a key that its issuer does not have.")
        return self._caller_of(self._decoded(token, key))

    def _decoded(self, token: str, key: jwt.PyJWK) -> dict[str, Any]:
        settings = self._settings
        try:
            return jwt.decode(
                token,
                key,
                algorithms=list(settings.algorithms),
                audience=settings.audience,
                issuer=settings.issuer,
                leeway=settings.leeway_s,
                options={"require": ["exp", "iss", "aud"], "strict_aud": False},
            )
        except jwt.ExpiredSignatureError:
            raise _invalid("The token has expired.") from None
        except jwt.InvalidAudienceError:
            raise _invalid("The token is for another audience.") from None
        except jwt.InvalidIssuerError:
            raise _invalid("The token is of another issuer.") from None
        except jwt.InvalidSignatureError:
            raise _invalid("The signature of the token is wrong.") from None
        except jwt.MissingRequiredClaimError as error:
            raise _invalid(f"The token has no claim {error.claim}.") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            raise _invalid("The token is not valid.") from None

    def _caller_of(self, claims: dict[str, Any]) -> Caller:
        tenant = claims.get(self._settings.tenant_claim)
        if not isinstance(tenant, str) or not tenant:
            raise _invalid(f"The token has no claim {self._settings.tenant_claim}, which names the tenant.")
        # Tenants of tokens and of keys are apart, as their names are given by different people.
        return Caller(str(claims.get("sub", tenant)), f"oidc:{tenant}", _scopes(claims))


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    """Return the scopes: a text with spaces (RFC 9068), or a list as some providers have it in `scp`."""
    value = claims.get("scope", claims.get("scp", ""))
    if isinstance(value, str):
        return frozenset(value.split())
    return frozenset(each for each in value if isinstance(each, str)) if isinstance(value, list) else frozenset()


def _invalid(detail: str) -> ProblemError:
    return not_signed_in(detail, error="invalid_token")
