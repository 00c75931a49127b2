"""The helper that repeats what fails for a moment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from transport.retry import retry


class Attempts:
    """Fails with these exceptions, one after the other, and then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self._errors: Iterator[Exception] = iter(errors)
        self.made = 0

    async def __call__(self) -> str:
        self.made += 1
        if (error := next(self._errors, None)) is not None:
            raise error
        return "done"


@pytest.fixture
def pauses_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made; they take no time."""
    made: list[float] = []

    async def pause(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr("asyncio.sleep", pause)
    return made


async def test_an_attempt_that_succeeds_is_made_once(pauses_s: list[float]) -> None:
    attempts = Attempts()
    assert await retry(attempts, on=OSError, pause_s=1) == "done"
    assert (attempts.made, pauses_s) == (1, [])


async def test_failures_are_retried_after_a_pause_and_the_first_is_reported(pauses_s: list[float]) -> None:
    attempts, reported = Attempts(OSError("a"), OSError("b")), list[str]()
    result = await retry(attempts, on=OSError, pause_s=1, on_first_failure=lambda error: reported.append(str(error)))
    assert (result, attempts.made, pauses_s, reported) == ("done", 3, [1, 1], ["a"])


async def test_the_last_of_a_number_of_attempts_raises_its_error(pauses_s: list[float]) -> None:
    attempts = Attempts(OSError("a"), OSError("b"), OSError("c"))
    with pytest.raises(OSError, match="b"):
        await retry(attempts, on=OSError, pause_s=1, attempts=2)
    assert (attempts.made, pauses_s) == (2, [1])


async def test_no_attempt_begins_after_the_time_limit(pauses_s: list[float]) -> None:
    attempts, reported = Attempts(OSError("a")), list[Exception]()
    with pytest.raises(OSError, match="a"):
        await retry(attempts, on=OSError, pause_s=1, timeout_s=0.5, on_first_failure=reported.append)
    assert (attempts.made, pauses_s, reported) == (1, [], [])


async def test_an_error_of_another_kind_is_raised_at_once(pauses_s: list[float]) -> None:
    attempts = Attempts(ValueError("a"))
    with pytest.raises(ValueError, match="a"):
        await retry(attempts, on=(OSError, KeyError), pause_s=1)
    assert (attempts.made, pauses_s) == (1, [])
