"""Tokens of AWS IAM for Amazon MSK, made by AWS's own signer: a signed address, for which no request is sent.

The credentials are found where all AWS clients look for them: variables, files, or the role of the machine or pod.
Only the last may ask an AWS service on the network, hence the thread.
"""

from __future__ import annotations

import asyncio
import importlib.util
import time
from dataclasses import dataclass
from typing import Final

from transport.security.tokens import Token, TokenRefusedError, TokenUnavailableError

TIMEOUT_S: Final = 10.0
"""For the credentials: the role of a machine is asked for over the network."""
NOT_INSTALLED: Final = "SASL_MECHANISM=AWS_MSK_IAM needs the extra msk-iam: pip install 'digitstream[msk-iam]'"


def is_installed() -> bool:
    """Return whether AWS's signer is there."""
    return importlib.util.find_spec("aws_msk_iam_sasl_signer") is not None


@dataclass(frozen=True)
class MskIam:
    """The signer for one region."""

    region: str

    async def fetch(self) -> Token:
        """Sign a token, which is good for 15 minutes.

        Raises
        ------
        TokenUnavailableError
            The credentials could not be read in time.
        TokenRefusedError
            There are no credentials.
        """
        # It takes 0.4 s to import: only who uses it pays.
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415  # as above

        signed_at_s = time.time()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                value, expires_at_ms = await asyncio.to_thread(MSKAuthTokenProvider.generate_auth_token, self.region)
        except TimeoutError:
            raise TokenUnavailableError(f"no AWS credentials within {TIMEOUT_S:g} s") from None
        except (AttributeError, ValueError):  # the signer does not look whether there are any
            raise TokenRefusedError(
                "there are no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine "
                "or pod a role"
            ) from None
        except BotoCoreError as error:
            raise TokenUnavailableError(f"AWS credentials cannot be used: {error}") from None
        return Token(value, signed_at_s, expires_at_ms / 1000)
