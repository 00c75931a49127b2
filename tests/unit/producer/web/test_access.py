"""Who may send requests: API keys, scopes, tenants, rates, and how refusals are shown and logged."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from producer.web.access.allowances import Allowances
from producer.web.access.keys import KeyFileError, Keys, hash_of, read_keys
from producer.web.problems import ProblemError
from producer.web.settings import AccessSettings, ListenSettings, WebSettings
from tests.harness.played_gateway import PlayedGateway
from tests.harness.waiting import eventually
from tests.harness.web import DIGIT, add_key, client_of


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def _settings(keys_file: Path, **access: object) -> WebSettings:
    return WebSettings(access=AccessSettings.model_validate({"keys_file": keys_file, **access}))


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
async def test_a_key_in_either_header_is_accepted(keys_file: Path, header: str) -> None:
    key = add_key(keys_file, "shop")
    gateway = PlayedGateway()
    async with client_of(gateway, _settings(keys_file)) as client:
        value = f"Bearer {key}" if header == "Authorization" else key
        response = await client.post("/predict", content=DIGIT, headers={header: value})
    assert response.status_code == 200
    assert gateway.sent[0].tenant == "shop"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer ds_wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"X-API-Key": "ds_wrong"},
        {"X-API-Key": "ü"},
    ],
    ids=["none", "unknown", "empty", "password", "unknown in the other header", "not ASCII"],
)
async def test_no_key_or_a_wrong_one_is_refused_before_the_body(keys_file: Path, headers: dict[str, str]) -> None:
    add_key(keys_file, "shop")
    gateway = PlayedGateway()
    async with client_of(gateway, _settings(keys_file)) as client:
        encoded = {name.encode(): value.encode() for name, value in headers.items()}
        for path in ("/predict", "/v1/predict_batch"):
            response = await client.post(path, content=DIGIT, headers=encoded)
            assert (response.status_code, response.json()["code"]) == (401, "not-signed-in")
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
        for path in ("/requests/x", "/results"):
            assert (await client.get(path, headers=encoded)).status_code == 401
    assert gateway.sent == []


async def test_a_tenant_does_not_see_the_requests_of_another(keys_file: Path) -> None:
    one, other = (add_key(keys_file, name) for name in ("one", "other"))
    colleague = add_key(keys_file, "colleague", 'tenant = "one"')
    async with client_of(PlayedGateway(), _settings(keys_file)) as client:
        headers = {"X-API-Key": one, "Idempotency-Key": "k"}
        assert (await client.post("/predict", content=DIGIT, headers=headers)).status_code == 200
        found = [(await client.get("/requests/k", headers={"X-API-Key": key})).status_code for key in (one, colleague)]
        assert found == [200, 200]
        assert (await client.get("/requests/k", headers={"X-API-Key": other})).status_code == 404


async def test_a_key_without_the_scope_is_refused(keys_file: Path) -> None:
    reader = add_key(keys_file, "reader", 'scopes = ["read"]')
    sender = add_key(keys_file, "sender", 'scopes = ["predict"]')
    async with client_of(PlayedGateway(), _settings(keys_file)) as client:
        sent = await client.post("/predict", content=DIGIT, headers={"X-API-Key": reader})
        read = await client.get("/requests/k", headers={"X-API-Key": sender})
    for response, scope in ((sent, "predict"), (read, "read")):
        assert (response.status_code, response.json()["code"]) == (403, "not-allowed")
        assert f'scope="{scope}"' in response.headers["WWW-Authenticate"]


async def test_an_expired_key_is_refused(keys_file: Path) -> None:
    past = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    key = add_key(keys_file, "shop", f"expires = {past.isoformat()}")
    async with client_of(PlayedGateway(), _settings(keys_file)) as client:
        response = await client.post("/predict", content=DIGIT, headers={"X-API-Key": key})
    assert (response.status_code, response.json()["detail"]) == (401, "The API key has expired.")


async def test_health_and_metrics_need_no_key(keys_file: Path) -> None:
    add_key(keys_file, "shop")
    async with client_of(PlayedGateway(), _settings(keys_file)) as client:
        for path in ("/health", "/livez", "/readyz", "/metrics", "/docs", "/openapi.json"):
            assert (await client.get(path)).status_code == 200


def test_a_changed_file_takes_effect_and_a_mistake_keeps_the_former_keys(keys_file: Path) -> None:
    old = add_key(keys_file, "old")
    keys = Keys(keys_file)
    keys.load()
    keys_file.write_text("[[keys]\nname =")
    _settle(keys)
    assert keys.caller(old) is not None
    keys_file.unlink()
    new = add_key(keys_file, "new")
    _settle(keys)
    assert keys.caller(old) is None
    assert keys.caller(new) is not None


def test_a_file_that_is_written_in_place_is_read_when_it_is_whole(keys_file: Path) -> None:
    key = add_key(keys_file, "reader", 'scopes = ["read"]')
    before = keys_file.read_text()
    other = add_key(keys_file, "other")
    whole = keys_file.read_text()
    keys_file.write_text(before)
    keys = Keys(keys_file)
    keys.load()
    with capture_logs() as lines:
        for length in range(len(whole)):  # each beginning, of which some are valid files
            keys_file.write_text(whole[:length])
            keys.check()
            caller = keys.caller(key)
            assert caller is not None
            assert caller.scopes == {"read"}
            assert keys.caller(other) is None
        keys_file.write_text(whole)
        _settle(keys)
    assert keys.caller(other) is not None
    assert [line["event"] for line in lines] == ["API keys reloaded"]


def _settle(keys: Keys) -> None:
    """Have the file read: it must look the same twice."""
    keys.check()
    keys.check()


@pytest.mark.parametrize(
    "text",
    [
        "[[keys]]\nname = 'a'\nsha256 = 'short'",
        "[[keys]]\nname = 'a'\nkey = 'ds_secret'",
        "[[keys]]\nname = 'a b'\nsha256 = '" + "0" * 64 + "'",
        f"[[keys]]\nname = 'a'\nsha256 = '{hash_of('x')}'\nscopes = ['admin']",
        f"[[keys]]\nname = 'a'\nsha256 = '{hash_of('x')}'\n[[keys]]\nname = 'b'\nsha256 = '{hash_of('x')}'",
        "no toml",
    ],
)
def test_a_file_with_a_mistake_is_refused_without_showing_its_content(keys_file: Path, text: str) -> None:
    keys_file.write_text(text)
    with pytest.raises(KeyFileError) as caught:
        read_keys(keys_file)
    assert "ds_secret" not in str(caught.value)


def test_a_client_that_sends_too_often_learns_when_to_repeat() -> None:
    now_s = 0.0
    allowances = Allowances(AccessSettings(per_s=0.5, burst=2), clock=lambda: now_s)
    for _ in range(2):
        with allowances.request("a"):
            pass
    with pytest.raises(ProblemError) as caught, allowances.request("a"):
        pass
    assert (caught.value.refusal, caught.value.headers["Retry-After"]) == ("rate-limited", "2")
    with allowances.request("b"):
        pass
    now_s = 2.0
    with allowances.request("a"):
        pass


async def test_a_key_may_have_its_own_rate(keys_file: Path) -> None:
    slow, fast = add_key(keys_file, "slow", "per_s = 0.001"), add_key(keys_file, "fast")
    async with client_of(PlayedGateway(), _settings(keys_file, burst=1)) as client:
        codes = [
            (await client.post("/predict", content=DIGIT, headers={"X-API-Key": key})).status_code
            for key in (slow, slow, fast, fast)
        ]
    assert codes == [200, 429, 200, 200]


async def test_a_client_has_a_limit_of_requests_under_way() -> None:
    gateway = PlayedGateway(hold=True)
    async with client_of(gateway, WebSettings(access=AccessSettings(at_once=1))) as client:
        first = asyncio.create_task(client.post("/predict", content=DIGIT))
        await eventually(lambda: gateway.following == 1)
        refused = await client.post("/predict", content=DIGIT)
        gateway.release()
        assert (await first).status_code == 200
        assert (await client.post("/predict", content=DIGIT)).status_code == 200
    assert (refused.status_code, refused.json()["code"], refused.headers["Retry-After"]) == (
        429,
        "too-many-at-once",
        "1",
    )


@pytest.mark.parametrize(("host", "status"), [("localhost:8000", 200), ("127.0.0.1", 200), ("attacker.example", 403)])
async def test_a_port_published_on_loopback_needs_no_key_under_the_name_localhost(host: str, status: int) -> None:
    settings = WebSettings(listen=ListenSettings(host="0.0.0.0", published_on_loopback=True))  # noqa: S104
    async with client_of(PlayedGateway(), settings) as client:
        response = await client.post("/predict", content=DIGIT, headers={"Host": host})
    assert response.status_code == status


def test_access_is_off_only_on_loopback_by_default() -> None:
    WebSettings(listen=ListenSettings(host="::1"))
    with pytest.raises(ValueError, match="not loopback"):
        WebSettings(listen=ListenSettings(host="0.0.0.0"))  # noqa: S104  # what is refused
    WebSettings(listen=ListenSettings(host="0.0.0.0"), access=AccessSettings(anonymous=True))  # noqa: S104


async def test_pages_of_other_sites_cannot_use_a_server_without_keys() -> None:
    async with client_of(PlayedGateway()) as client:
        response = await client.post("/predict", content=DIGIT, headers={"Sec-Fetch-Site": "cross-site"})
        preflight = await client.options("/predict", headers={"Origin": "https://evil.test"})
    assert (response.status_code, response.json()["code"]) == (403, "not-allowed")
    assert not [name for name in preflight.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(("host", "status"), [("evil.test", 403), ("127.0.0.1:8000", 200), ("[::1]:8000", 200)])
async def test_another_name_of_this_machine_does_not_open_a_server_without_keys(host: str, status: int) -> None:
    async with client_of(PlayedGateway()) as client:
        assert (await client.post("/predict", content=DIGIT, headers={"Host": host})).status_code == status


async def test_named_origins_may_use_the_api() -> None:
    settings = WebSettings(access=AccessSettings(cors_origins=("https://shop.test",)))
    async with client_of(PlayedGateway(), settings) as client:
        answers = [
            await client.post("/predict", content=DIGIT, headers={"Origin": origin})
            for origin in ("https://shop.test", "https://evil.test")
        ]
    assert [answer.headers.get("Access-Control-Allow-Origin") for answer in answers] == ["https://shop.test", None]


async def test_every_answer_has_security_headers() -> None:
    async with client_of(PlayedGateway()) as client:
        for path in ("/health", "/predict", "/nothing"):
            headers = (await client.get(path)).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert headers["Cache-Control"] == "no-store"


async def test_files_of_a_page_have_their_own_policy() -> None:
    page = {"/": ("text/html; charset=utf-8", b"<!doctype html>"), "/page/app.js": ("text/javascript", b"1")}
    headers = {"Content-Security-Policy": "default-src 'self'", "Cache-Control": "no-cache"}
    async with client_of(PlayedGateway(), page=page, page_headers=headers) as client:
        for path, (media_type, content) in page.items():
            response = await client.get(path)
            assert (response.content, response.headers["Content-Type"].partition(";")[0]) == (
                content,
                media_type.partition(";")[0],
            )
            assert response.headers["Content-Security-Policy"] == "default-src 'self'"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert (await client.get("/page/../app.js")).status_code == 404


async def test_a_refusal_is_one_line_of_the_log_without_the_key(keys_file: Path) -> None:
    add_key(keys_file, "shop")
    async with client_of(PlayedGateway(), _settings(keys_file)) as client:
        with structlog.testing.capture_logs() as lines:
            await client.post("/predict%0Aforged", content=DIGIT, headers={"X-API-Key": "ds_secret"})
            await client.post("/predict", content=DIGIT, headers={"X-API-Key": "ds_secret"})
        metrics = (await client.get("/metrics")).text
    assert [(line["event"], line["code"]) for line in lines] == [
        ("request refused", "unknown-path"),
        ("request refused", "not-signed-in"),
    ]
    assert "\n" not in lines[0]["path"]
    assert "ds_secret" not in str(lines)
    assert 'digits_http_refusals_total{code="not-signed-in"} 1.0' in metrics
    assert 'digits_http_requests_total{method="POST",path="/predict",status="401"} 1.0' in metrics
