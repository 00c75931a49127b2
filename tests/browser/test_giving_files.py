"""Pictures and archives are chosen, dropped, pasted or taken with the camera."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import expect

from tests.browser.played_gateway import PlayedGateway
from tests.browser.visit import Visit

pytestmark = pytest.mark.timeout(600)  # the first test compiles the engine and starts Chromium
DATA: Final = Path(__file__).parents[1] / "data"


async def test_a_zip_that_is_dropped_shows_each_of_its_digits_in_order(visit: Visit) -> None:
    await visit.drop(DATA / "digits.zip")
    batch = visit.status("batch")
    await expect(batch).to_contain_text(re.compile(r"digits\.zip: 20 pictures in .*: 20 recognised"))
    digits = await batch.locator(".tiles .digit").all_inner_texts()
    assert digits == sorted(digits)
    assert len(digits) == 20
    await batch.locator(".tiles button").nth(4).click()
    await expect(batch.locator("article .digit")).to_have_text(digits[4])
    await expect(visit.page.locator("#drop")).to_be_hidden()
    assert visit.errors == []


async def test_pictures_that_are_dropped_with_a_zip_are_a_request_of_their_own(
    visit: Visit, gateway: PlayedGateway
) -> None:
    await visit.drop(DATA / "digits/4_50009.png", DATA / "digits.zip", DATA / "digits/7_50021.png")
    await expect(visit.status("batch")).to_contain_text("2 pictures: 2 pictures")
    await expect(visit.page.locator("#counts .recognised dd")).to_have_text("22")
    assert len(gateway.accepted) == 2


async def test_an_unsure_picture_says_why(visit: Visit) -> None:
    await visit.choose(DATA / "no_digit.png")
    await expect(visit.status("unsure").locator(".why")).to_contain_text("does not seem to show one digit")
    await expect(visit.status("unsure").locator(".sent")).to_be_visible()


async def test_a_failed_picture_says_why_in_words_with_its_code(visit: Visit) -> None:
    await visit.choose(DATA / "damaged.png")
    problem = visit.status("problem")
    await expect(problem).to_contain_text("Save the file or download it again.")
    await expect(problem.locator(".why code")).to_have_text("damaged-image")
    await expect(problem.locator(".facts")).to_contain_text(re.compile(r"Took.*partition \d+, offset \d+"))
    await expect(problem.get_by_role("button", name="Try again")).to_have_count(0)
    await expect(visit.page.locator("#counts .failed dd")).to_have_text("1")


async def test_a_picture_that_is_pasted_is_read(visit: Visit) -> None:
    text = base64.b64encode((DATA / "digits/4_50009.png").read_bytes()).decode()
    await visit.page.evaluate(
        """text => {
          const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
          const clipboardData = new DataTransfer();
          clipboardData.items.add(new File([bytes], "image.png", { type: "image/png" }));
          document.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
        }""",
        text,
    )
    await expect(visit.answer.locator(".digit")).to_have_text("4")


async def test_the_button_pastes_what_was_copied(visit: Visit) -> None:
    await visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    paste = visit.page.get_by_role("button", name="Paste")
    await visit.page.evaluate("navigator.clipboard.writeText('7')")
    await paste.click()
    await expect(visit.status("problem")).to_contain_text("There is no picture to paste")
    text = base64.b64encode((DATA / "digits/4_50009.png").read_bytes()).decode()
    await visit.page.evaluate(
        """async text => {
          const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
          const picture = new Blob([bytes], { type: "image/png" });
          await navigator.clipboard.write([new ClipboardItem({ "image/png": picture })]);
        }""",
        text,
    )
    await paste.click()
    await expect(visit.answer.locator(".digit")).to_have_text("4")


async def test_the_camera_gives_one_picture_and_is_switched_off(visit: Visit, gateway: PlayedGateway) -> None:
    await visit.page.get_by_role("button", name="Camera").click()
    await visit.page.get_by_role("button", name="Take picture").click()
    await expect(visit.answer.locator(".facts")).to_contain_text("photo.jpg")
    await expect(visit.page.locator("#camera-dialog")).to_be_hidden()
    assert await visit.page.evaluate("document.getElementById('video').srcObject") is None
    assert len(gateway.accepted) == 1
    assert visit.errors == []


async def test_a_name_with_markup_is_shown_as_text(visit: Visit, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>.png"
    (tmp_path / name).write_bytes((DATA / "digits/4_50009.png").read_bytes())
    await visit.choose(tmp_path / name)
    await expect(visit.answer.locator(".facts")).to_contain_text(name)
    assert visit.errors == []
