"""A visit to the page: what a person does there, and what the page then shows."""

from __future__ import annotations

import base64
import mimetypes
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, Locator, Page, async_playwright, expect

from tests.harness.waiting import DEADLINE_S

Stroke = Sequence[tuple[float, float]]

SEVEN: Final[Sequence[Stroke]] = [[(0.24, 0.22), (0.5, 0.21), (0.76, 0.2), (0.64, 0.42), (0.53, 0.62), (0.44, 0.85)]]
"""The strokes of a 7, in shares of the pad's side."""

_DROP: Final = """files => {
  const transfer = new DataTransfer();
  for (const [name, type, text] of files) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type }));
  }
  return transfer;
}"""


def chromium() -> str | None:
    """Return the path of the installed Chromium."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@asynccontextmanager
async def running_browser(executable: str) -> AsyncIterator[Browser]:
    """Start a Chromium without a window, with a camera that shows a test picture."""
    expect.set_options(timeout=DEADLINE_S * 1000)
    camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=camera)
        try:
            yield browser
        finally:
            await browser.close()


class Visit:
    """One tab with the page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        """What the browser's console reports: broken scripts, and what the content security policy has blocked."""
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    @property
    def answer(self) -> Locator:
        """The view of the answer."""
        return self.page.locator("#view")

    def status(self, status: str) -> Locator:
        """The answer, if it has this status."""
        return self.page.locator(f'#view [data-status="{status}"]')

    async def draw(self, strokes: Sequence[Stroke]) -> None:
        """Draw with the pointer."""
        await self.page.locator("#pad").scroll_into_view_if_needed()
        box = await self.page.locator("#pad").bounding_box()
        assert box is not None
        for stroke in strokes:
            points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
            await self.page.mouse.move(*points[0])
            await self.page.mouse.down()
            for point in points[1:]:
                await self.page.mouse.move(*point, steps=4)
            await self.page.mouse.up()

    async def draw_and_read(self, strokes: Sequence[Stroke] = SEVEN) -> None:
        """Draw, and ask what it is."""
        await self.draw(strokes)
        await self.page.get_by_role("button", name="Read it").click()

    async def drop(self, *paths: Path) -> None:
        """Drop files on the page."""
        files: list[Any] = [
            (path.name, mimetypes.guess_type(path)[0] or "", base64.b64encode(path.read_bytes()).decode())
            for path in paths
        ]
        transfer = await self.page.evaluate_handle(_DROP, files)
        await self.page.dispatch_event("body", "dragover", {"dataTransfer": transfer})
        await self.page.dispatch_event("body", "drop", {"dataTransfer": transfer})

    async def choose(self, *paths: Path) -> None:
        """Choose files in the browser's dialog."""
        async with self.page.expect_file_chooser() as chooser:
            await self.page.get_by_role("button", name="Choose files").click()
        await (await chooser.value).set_files([str(path) for path in paths])


@asynccontextmanager
async def opened(browser: Browser, url: str) -> AsyncIterator[Visit]:
    """Open the page in a tab of its own, and yield it when all that it does at its start is done."""
    async with await browser.new_context(permissions=["camera"]) as context:
        visit = Visit(await context.new_page())
        await visit.page.goto(url)
        await expect(visit.page.locator("#connection")).to_have_text("live")
        yield visit
