"""What everyone can see and use: axe, light and dark, a phone, and no request to anyone else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from tests.browser.played_gateway import PlayedGateway
from tests.browser.visit import SEVEN, Visit, visiting
from tests.harness.waiting import eventually

pytestmark = pytest.mark.timeout(600)  # the first test compiles the engine and starts Chromium
DATA: Final = Path(__file__).parents[1] / "data"
Theme = Literal["light", "dark"]


async def empty(visit: Visit) -> None:
    await expect(visit.page.locator("#connection")).to_have_text("live")


async def recognised(visit: Visit) -> None:
    await visit.draw_and_read()
    await expect(visit.status("recognised").locator(".seen")).to_be_visible()


async def unsure(visit: Visit) -> None:
    await visit.choose(DATA / "no_digit.png")
    await expect(visit.status("unsure")).to_be_visible()


async def failed(visit: Visit) -> None:
    await visit.choose(DATA / "damaged.png")
    await expect(visit.status("problem")).to_be_visible()


async def batch(visit: Visit) -> None:
    await visit.choose(DATA / "digits.zip")
    await visit.status("batch").locator(".tiles button").first.click()


async def camera(visit: Visit) -> None:
    await visit.page.get_by_role("button", name="Camera").click()
    await expect(visit.page.get_by_role("button", name="Take picture")).to_be_enabled()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("state", [empty, recognised, unsure, failed, batch, camera])
async def test_axe_finds_no_violation(visit: Visit, theme: Theme, state: Callable[[Visit], Awaitable[None]]) -> None:
    # What moves while axe looks has colours in between.
    await visit.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    await state(visit)
    found = await Axe().run(visit.page)
    assert found.violations_count == 0, found.generate_report()


async def test_axe_finds_no_violation_while_a_request_waits(visit: Visit, gateway: PlayedGateway) -> None:
    gateway.hold()
    await visit.draw_and_read()
    await expect(visit.answer.locator('[data-state="waiting"]')).to_be_visible()
    found = await Axe().run(visit.page)
    assert found.violations_count == 0, found.generate_report()


async def test_axe_sees_the_page_at_all(visit: Visit) -> None:
    await visit.page.evaluate("document.getElementById('pad').removeAttribute('aria-label')")
    await visit.page.evaluate("document.documentElement.removeAttribute('lang')")
    assert (await Axe().run(visit.page)).violations_count > 0


async def test_the_page_is_dark_where_the_system_is_dark(visit: Visit) -> None:
    await visit.page.emulate_media(color_scheme="light")
    light = await _brightness(visit.page)
    await visit.page.emulate_media(color_scheme="dark")
    dark = await _brightness(visit.page)
    assert dark < 60
    assert light > 200


async def test_a_chosen_theme_is_kept_and_the_drawing_stays_visible(visit: Visit) -> None:
    await visit.page.emulate_media(color_scheme="light")
    await visit.draw(SEVEN)
    button = visit.page.get_by_role("button", name="Colours")
    await button.click()
    await button.click()
    await expect(button).to_have_text("Colours: dark")
    assert await _brightness(visit.page) < 60
    ink = await visit.page.locator("#pad").evaluate(
        """pad => pad.getContext("2d").getImageData(0, 0, pad.width, pad.height).data
             .reduce((most, value, index) => (index % 4 === 0 && value > most ? value : most), 0)"""
    )
    assert ink > 200
    await visit.page.reload()
    await expect(button).to_have_text("Colours: dark")


@pytest.mark.parametrize("width", [320, 390])
async def test_a_phone_draws_with_a_finger_and_never_scrolls_sideways(
    browser: Browser, gateway: PlayedGateway, width: int
) -> None:
    phone = {
        "viewport": {"width": width, "height": 700},
        "has_touch": True,
        "is_mobile": True,
        "device_scale_factor": 2,
    }
    async with visiting(browser, gateway.url, **phone) as visit:
        await _draw_with_a_finger(visit)
        # By mouse: the touches above have no time between them, which Chromium takes for a fling that a tap would stop.
        await visit.page.get_by_role("button", name="Read it").click()
        await expect(visit.status("recognised").locator(".digit")).to_have_text("7")
        await expect(visit.status("recognised").locator(".digit")).to_be_in_viewport()
        await visit.choose(DATA / "digits.zip")
        await expect(visit.status("batch")).to_be_visible()
        assert await visit.page.evaluate("document.documentElement.scrollWidth") <= width
        small = await visit.page.evaluate(
            "[...document.querySelectorAll('button')].filter((b) => b.offsetHeight > 0 && b.offsetHeight < 44).length"
        )
        assert small == 0


async def test_nothing_is_asked_of_anyone_else(visit: Visit, gateway: PlayedGateway) -> None:
    await recognised(visit)
    assert gateway.url in visit.asked
    assert [url for url in visit.asked if not url.startswith((gateway.url, "blob:", "data:"))] == []
    assert visit.errors == []
    await visit.page.evaluate("fetch('http://127.0.0.1:9/').catch(() => {})")
    await eventually(lambda: "Content Security Policy" in "".join(visit.errors))


async def _brightness(page: Page) -> float:
    """Return the mean of the background's channels, 0 to 255."""
    colour = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    channels = [float(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    return sum(channels) / 3


async def _draw_with_a_finger(visit: Visit) -> None:
    """Send touches as a screen does; the browser turns them into pointer events."""
    await visit.page.locator("#pad").scroll_into_view_if_needed()
    box = await visit.page.locator("#pad").bounding_box()
    assert box is not None
    session = await visit.page.context.new_cdp_session(visit.page)
    for stroke in SEVEN:
        points = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for x, y in stroke]
        for kind, at in [
            ("touchStart", points[:1]),
            *(("touchMove", [point]) for point in points[1:]),
            ("touchEnd", []),
        ]:
            await session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})
