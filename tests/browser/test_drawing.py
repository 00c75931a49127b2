"""A digit is written with the pointer or the keyboard, and its answer is shown whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import expect

from tests.browser.played_gateway import PlayedGateway
from tests.browser.visit import SEVEN, Visit

pytestmark = pytest.mark.timeout(600)  # the first test compiles the engine and starts Chromium

DATA: Final = Path(__file__).parents[1] / "data"


async def test_a_seven_that_is_drawn_is_read_as_seven(visit: Visit) -> None:
    await visit.draw_and_read(SEVEN)
    answer = visit.status("recognised")
    await expect(answer.locator(".digit")).to_have_text("7")
    await expect(answer.locator(".percent")).to_contain_text("%")
    await expect(answer.locator(".bars li")).to_have_count(10)
    await expect(answer.locator(".bars li.top")).to_contain_text("7")
    await expect(answer.locator(".facts")).to_contain_text(re.compile(r"partition \d+, offset \d+ of digits\.requests"))
    await expect(answer.locator(".facts")).to_contain_text(re.compile(r"Took\d+ m?s, of which \d+ ms in the service"))
    await expect(visit.page.get_by_role("status")).to_contain_text("Read as 7, confidence")
    assert visit.errors == []


async def test_the_pixels_that_the_model_saw_are_shown(visit: Visit) -> None:
    await visit.draw_and_read(SEVEN)
    await expect(visit.seen).to_be_visible()
    assert await visit.seen.evaluate("image => image.decode().then(() => image.naturalWidth)") == 28
    ink = await visit.seen.evaluate(
        """image => {
             const context = document.createElement("canvas").getContext("2d");
             context.drawImage(image, 0, 0);
             const values = context.getImageData(0, 0, 28, 28).data;
             return values.filter((value, index) => index % 4 === 0 && value > 127).length;
           }"""
    )
    assert 30 < ink < 300
    assert visit.errors == []


async def test_the_pixels_that_the_model_saw_are_shown_of_an_earlier_result_too(visit: Visit) -> None:
    await visit.draw_and_read(SEVEN)
    await expect(visit.seen).to_be_visible()
    await visit.drop(DATA / "digits.zip")
    await expect(visit.status("batch")).to_be_visible()
    await expect(visit.seen).to_have_count(0)
    await visit.page.locator("#strip").get_by_role("button", name="drawing.png").click()
    await expect(visit.seen).to_be_visible()


async def test_a_seven_is_written_with_the_keyboard_alone(visit: Visit) -> None:
    press = visit.page.keyboard.press
    await visit.page.locator("#pad").focus()
    for key in [*["ArrowUp"] * 7, *["ArrowLeft"] * 6, "Space", *["ArrowRight"] * 11]:
        await press(key)
    for _ in range(7):
        for key in ("ArrowDown", "ArrowDown", "ArrowLeft"):
            await press(key)
    await press("Enter")
    await expect(visit.answer.locator(".digit")).to_have_text("7")


async def test_strokes_are_undone_and_cleared_before_anything_is_sent(visit: Visit, gateway: PlayedGateway) -> None:
    undo, clear = (visit.page.get_by_role("button", name=name) for name in ("Undo", "Clear"))
    await expect(undo).to_be_disabled()
    await visit.draw([*SEVEN, [(0.3, 0.5), (0.7, 0.5)]])
    await undo.click()
    await expect(clear).to_be_enabled()
    await clear.click()
    await expect(clear).to_be_disabled()
    await visit.page.get_by_role("button", name="Read it").click()
    await expect(visit.status("problem")).to_contain_text("Nothing is written yet")
    assert gateway.accepted == []


async def test_own_results_come_live_and_are_counted_once(visit: Visit) -> None:
    await visit.draw_and_read(SEVEN)
    await expect(visit.page.locator("#strip li")).to_have_count(1)
    await expect(visit.page.locator("#counts .recognised dd")).to_have_text("1")
    await visit.page.get_by_role("button", name="Read it").click()
    await expect(visit.page.locator("#strip li")).to_have_count(2)
    await visit.page.reload()
    await expect(visit.page.locator("#counts .recognised dd")).to_have_text("2")


async def test_a_result_of_another_program_is_shown_whole_when_it_is_pressed(
    visit: Visit, gateway: PlayedGateway
) -> None:
    other = "fetch('v1/predict', {method: 'POST', body: form})"
    await visit.page.evaluate(
        "async () => { const form = new FormData(); const canvas = document.createElement('canvas');"
        " canvas.width = canvas.height = 40; const blob = await new Promise((done) => canvas.toBlob(done));"
        f" form.append('file', blob, 'blank.png'); await {other}; }}"
    )
    await visit.page.get_by_role("button", name=re.compile("blank.png: Unsure")).click()
    await expect(visit.status("unsure")).to_contain_text("does not seem to show one digit")
    assert len(gateway.accepted) == 1
