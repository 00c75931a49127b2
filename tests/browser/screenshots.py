"""Makes the pictures of the page for the docs: ``python -m tests.browser.screenshots``."""

from __future__ import annotations

import asyncio
import io
import sys
from pathlib import Path
from typing import Final, Literal

from PIL import Image
from playwright.async_api import Browser, expect

from tests.browser.engine_results import EngineResults
from tests.browser.played_gateway import PlayedGateway
from tests.browser.visit import chromium, running_browser, visiting

_ROOT: Final = Path(__file__).parents[2]
_DATA: Final = _ROOT / "tests/data"
_PICTURES: Final = _ROOT / "docs/images"
_PHONE_PX: Final = 500


async def main() -> None:
    """Take all pictures."""
    executable = chromium()
    if executable is None:
        sys.exit("Chromium is not installed; on Debian: apt-get install chromium")
    _PICTURES.mkdir(exist_ok=True)
    engine = EngineResults()
    async with running_browser(executable) as browser:
        await _take(browser, engine, "page-light", "light", 1120)
        await _take(browser, engine, "page-dark", "dark", 1120, zip_too=True)
        await _take(browser, engine, "page-phone", "light", 390)


async def _take(
    browser: Browser,
    engine: EngineResults,
    name: str,
    theme: Literal["light", "dark"],
    width: int,
    *,
    zip_too: bool = False,
) -> None:
    """Draw a digit after others were read."""
    async with (
        PlayedGateway(engine) as gateway,
        visiting(
            browser,
            gateway.url,
            color_scheme=theme,
            reduced_motion="reduce",
            viewport={"width": width, "height": 860},
            has_touch=width < _PHONE_PX,
            is_mobile=width < _PHONE_PX,
        ) as visit,
    ):
        for picture in ("digits/4_50009.png", "no_digit.png", "damaged.png", "photo_7.jpg"):
            await visit.choose(_DATA / picture)
            await expect(visit.answer.locator(".sent")).to_be_visible()
            await expect(visit.page.locator("#view [data-status]")).to_be_visible()
        await visit.draw_and_read()
        await expect(visit.status("recognised").locator(".seen")).to_be_visible()
        if zip_too:
            await visit.choose(_DATA / "digits.zip")
            await expect(visit.status("batch")).to_be_visible()
            await visit.page.locator(".tiles button").first.click()
        await expect(visit.page.locator("#strip li")).to_have_count(24 if zip_too else 5)
        await visit.page.mouse.move(0, 0)
        # Not `full_page`: while it takes its picture, the page believes that it is on a large screen with a mouse.
        height = await visit.page.evaluate("document.documentElement.scrollHeight")
        await visit.page.set_viewport_size({"width": width, "height": height})
        taken = await visit.page.screenshot(animations="disabled")
    Image.open(io.BytesIO(taken)).save(_PICTURES / f"{name}.webp", lossless=True)


if __name__ == "__main__":
    asyncio.run(main())
