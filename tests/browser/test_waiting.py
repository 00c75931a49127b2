"""A slow, busy or unreachable service: nothing is lost, and nothing is sent twice."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import APIResponse, Route, expect

from tests.browser.played_gateway import PlayedGateway
from tests.browser.visit import Visit
from tests.harness.waiting import eventually

pytestmark = pytest.mark.timeout(600)  # the first test compiles the engine and starts Chromium
DATA: Final = Path(__file__).parents[1] / "data"


async def test_an_answer_that_comes_late_is_shown_when_it_comes(visit: Visit, gateway: PlayedGateway) -> None:
    gateway.hold()
    await visit.draw_and_read()
    await expect(visit.answer.locator('[data-state="waiting"]')).to_contain_text("Waiting for drawing.png")
    gateway.release()
    await expect(visit.status("recognised").locator(".digit")).to_have_text("7")
    await expect(visit.seen).to_be_visible()


async def test_an_answer_is_polled_for_where_the_live_results_are_cut_off(visit: Visit, gateway: PlayedGateway) -> None:
    await visit.page.route("**/v1/results?*", lambda route: route.abort())
    await visit.page.reload()
    await expect(visit.page.locator("#connection")).to_have_text("not connected")
    gateway.hold()
    await visit.draw_and_read()
    await eventually(lambda: any("/requests/" in asked for asked in gateway.asked))
    gateway.release()
    await expect(visit.status("recognised").locator(".digit")).to_have_text("7")
    await expect(visit.seen).to_be_visible()
    await expect(visit.page.locator("#counts .recognised dd")).to_have_text("1")


async def test_an_answer_is_taken_from_the_live_results_where_polling_is_cut_off(
    visit: Visit, gateway: PlayedGateway
) -> None:
    await visit.page.route("**/v1/requests/*", lambda route: route.abort())
    gateway.hold()
    await visit.draw_and_read()
    await expect(visit.answer.locator('[data-state="waiting"]')).to_be_visible()
    gateway.release()
    await expect(visit.status("recognised").locator(".digit")).to_have_text("7")
    await expect(visit.seen).to_be_visible()


async def test_a_reload_while_waiting_goes_on_waiting(visit: Visit, gateway: PlayedGateway) -> None:
    gateway.hold()
    await visit.draw_and_read()
    await expect(visit.answer.locator('[data-state="waiting"]')).to_be_visible()
    await visit.page.reload()
    await expect(visit.answer.locator('[data-state="waiting"]')).to_contain_text("Waiting for drawing.png")
    gateway.release()
    await expect(visit.status("recognised").locator(".digit")).to_have_text("7")
    await expect(visit.seen).to_be_visible()
    assert len(gateway.accepted) == 1
    await visit.page.reload()
    await expect(visit.answer).to_contain_text("Write a digit and press")


async def test_a_reload_before_any_reply_goes_on_waiting(visit: Visit, gateway: PlayedGateway) -> None:
    gateway.hold(reply_at_once=False)
    await visit.draw_and_read()
    await eventually(lambda: gateway.accepted)
    await visit.page.reload()
    await expect(visit.answer.locator('[data-state="waiting"]')).to_be_visible()
    gateway.release()
    await expect(visit.status("recognised").locator(".digit")).to_have_text("7")
    assert len(gateway.accepted) == 1


async def test_a_reload_while_a_zip_waits_shows_all_its_results(visit: Visit, gateway: PlayedGateway) -> None:
    gateway.hold()
    await visit.drop(DATA / "digits.zip")
    await expect(visit.answer.locator('[data-state="waiting"]')).to_be_visible()
    await visit.page.reload()
    gateway.release()
    await expect(visit.status("batch")).to_contain_text("20 pictures")
    await expect(visit.status("batch").locator(".tiles li")).to_have_count(20)


async def test_a_busy_service_is_asked_again_with_the_same_key(visit: Visit, gateway: PlayedGateway) -> None:
    problem = {"title": "Too many requests", "detail": "The topic has 9,000 records that wait."}
    gateway.refusals += [(429, problem, {"Retry-After": "600"})]
    await visit.page.clock.install()
    await visit.draw_and_read()
    await expect(visit.answer.locator('[data-state="busy"]')).to_contain_text(problem["detail"])
    await visit.page.clock.fast_forward(600_000)
    await expect(visit.status("recognised").locator(".digit")).to_have_text("7")
    assert len(gateway.accepted) == 1


async def test_a_connection_that_breaks_before_the_reply_sends_once(visit: Visit, gateway: PlayedGateway) -> None:
    cut: list[APIResponse] = []

    async def lose_first_reply(route: Route) -> None:
        if cut:
            await route.continue_()
            return
        cut.append(await route.fetch())
        await route.abort()

    await visit.page.route("**/v1/predict?*", lose_first_reply)
    await visit.draw_and_read()
    await expect(visit.status("recognised").locator(".digit")).to_have_text("7")
    assert len(cut) == 1
    assert gateway.asked.count("POST /v1/predict") == 2
    assert len(gateway.accepted) == 1


async def test_a_refusal_is_shown_with_its_reason_and_can_be_tried_again(visit: Visit, gateway: PlayedGateway) -> None:
    gateway.refusals += [(500, {"title": "Internal error", "detail": "The cause is in the log."}, {})]
    await visit.draw_and_read()
    await expect(visit.status("problem")).to_contain_text("The cause is in the log.")
    await visit.status("problem").get_by_role("button", name="Try again").click()
    await expect(visit.status("recognised").locator(".digit")).to_have_text("7")


async def test_a_live_connection_that_ends_is_made_again(visit: Visit, gateway: PlayedGateway) -> None:
    await visit.page.route("**/v1/results", lambda route: route.abort())  # until the test has seen that it is lost
    gateway.drop_readers()
    await expect(visit.page.locator("#connection")).to_have_text("not connected")
    await visit.page.unroute("**/v1/results")
    await expect(visit.page.locator("#connection")).to_have_text("live")
    await eventually(lambda: gateway.readers == 1)


async def test_results_that_came_too_fast_are_reported(visit: Visit, gateway: PlayedGateway) -> None:
    gateway.pass_over(1234)
    await expect(visit.page.locator("#strip-lost")).to_contain_text("1,234 results came too fast")


async def test_a_service_that_needs_a_key_asks_for_it_and_goes_on(visit: Visit, gateway: PlayedGateway) -> None:
    gateway.key = "a key"
    await visit.draw_and_read()
    await visit.page.get_by_label("API key or access token").fill("a key")
    await visit.page.get_by_role("button", name="Use it").click()
    await expect(visit.status("recognised").locator(".digit")).to_have_text("7")
    assert "a key" not in visit.page.url


async def test_a_page_that_is_opened_without_a_key_asks_for_it_at_once(visit: Visit, gateway: PlayedGateway) -> None:
    gateway.key = "a key"
    await visit.page.reload()
    await expect(visit.page.locator("#connection")).to_have_text("a key is needed")
    await visit.page.get_by_label("API key or access token").fill("a key")
    await visit.page.get_by_role("button", name="Use it").click()
    await expect(visit.page.locator("#connection")).to_have_text("live")
    await visit.draw_and_read()
    await expect(visit.status("recognised").locator(".digit")).to_have_text("7")
