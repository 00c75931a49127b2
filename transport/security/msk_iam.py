"""Tokens of AWS IAM for Amazon MSK: AWS's own library signs an address, without a request to AWS.

The credentials come from the places that all AWS clients use: variables, files, or the role of the machine or pod. Only
a role may need a request over the network, so the library runs in a thread.
"""

from __future__ import annotations

import asyncio
import importlib.util
import time
from dataclasses import dataclass
from typing import Final

from transport.security.tokens import Token, TokenRefusedError, TokenUnavailableError

TIMEOUT_S: Final = 10.0
"""The time limit for reading the credentials, which may need a request over the network."""
NOT_INSTALLED: Final = "SASL_MECHANISM=AWS_MSK_IAM needs the extra msk-iam: pip install 'digitstream[msk-iam]'"


def is_installed() -> bool:
    """Return whether AWS's signing library is installed."""
    return importlib.util.find_spec("aws_msk_iam_sasl_signer") is not None


@dataclass(frozen=True)
class MskIam:
    """The signer for one region."""

    region: str

    async def fetch(self) -> Token:
        """Sign a token, which is valid for 15 minutes.

        Raises
        ------
        TokenUnavailableError
            The credentials could not be read in time.
        TokenRefusedError
            There are no credentials.
        """
        # Imported here, because the import takes 0.4 s.
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415  # as above

        signed_at_s = time.time()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                value, expires_at_ms = await asyncio.to_thread(MSKAuthTokenProvider.generate_auth_token, self.region)
        except TimeoutError:
            raise TokenUnavailableError(f"no AWS credentials within {TIMEOUT_S:g} s") from None
        except (AttributeError, ValueError):  # the library raises these if there are no credentials
            raise TokenRefusedError(
                "there are no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine "
                "or pod a role"
            ) from None
        except BotoCoreError as error:
            raise TokenUnavailableError(f"AWS credentials cannot be used: {error}") from None
        return Token(value, signed_at_s, expires_at_ms / 1000)
