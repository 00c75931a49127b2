"""The page before the real chain: server, broker, service and model."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, expect

from tests.browser.test_giving_files import DATA
from tests.browser.visit import SEVEN, visiting
from tests.harness.front_door import running_front_door
from tests.harness.service import running_service
from tests.harness.topics import Broker

pytestmark = pytest.mark.timeout(600)


async def test_a_seven_that_is_drawn_and_a_zip_that_is_dropped_are_answered_by_the_service(
    browser: Browser, broker: Broker
) -> None:
    async with running_service(broker), running_front_door(broker) as door, visiting(browser, door.url) as visit:
        await visit.draw_and_read(SEVEN)
        await expect(visit.status("recognised").locator(".digit")).to_have_text("7")
        await expect(visit.page.locator("#strip li")).to_have_count(1)
        await visit.drop(DATA / "digits.zip")
        batch = visit.status("batch")
        await expect(batch).to_contain_text(re.compile(r"digits\.zip: 20 pictures in .*: 20 recognised"))
        digits = await batch.locator(".tiles .digit").all_inner_texts()
        assert visit.errors == []
        results = await broker.results()
    assert sorted(digits) == sorted(str(digit) for digit in range(10) for _ in range(2))
    assert len(results) == 21
