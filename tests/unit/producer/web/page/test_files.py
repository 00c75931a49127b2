from __future__ import annotations

import re
from typing import Final

import pytest

from contract.errors import ErrorCode
from producer.web.page.files import CONTENT_SECURITY_POLICY, page_files

FILES: Final = page_files()
TEXTS: Final = {path: file.content.decode() for path, file in FILES.items()}
MOST_LINES: Final = 200


def test_the_page_and_every_kind_of_file_have_their_content_types() -> None:
    assert FILES["/"].content_type.startswith("text/html")
    kinds = {path.rpartition(".")[2]: file.content_type for path, file in FILES.items() if path != "/"}
    assert kinds == {
        "css": "text/css; charset=utf-8",
        "js": "text/javascript; charset=utf-8",
        "svg": "image/svg+xml",
    }


def test_every_file_that_is_loaded_exists_and_every_file_is_loaded() -> None:
    loaded = set(re.findall(r'(?:href|src)="(page/[^"]+)"', TEXTS["/"]))
    for path, text in TEXTS.items():
        if path.endswith(".js"):
            loaded |= {f"page/{name}" for name in re.findall(r'from "\./([^"]+)"', text)}
    assert {f"/{name}" for name in loaded} == set(FILES) - {"/"}


@pytest.mark.parametrize("path", TEXTS)
def test_no_file_names_another_host_or_an_absolute_path(path: str) -> None:
    text = "\n".join(line for line in TEXTS[path].splitlines() if not line.lstrip().startswith("//"))
    assert set(re.findall(r"""https?://[^"'\s]+""", text)) <= {"http://www.w3.org/2000/svg"}
    assert re.findall(r"""(?:href|src)="/|fetch\(["'`]/|open\("POST", "/""", text) == []


def test_the_page_has_nothing_that_the_policy_would_block() -> None:
    assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", TEXTS["/"]) == []
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    scripts = "".join(text for path, text in TEXTS.items() if path.endswith(".js"))
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", scripts) == []


@pytest.mark.parametrize("path", TEXTS)
def test_no_file_is_long(path: str) -> None:
    assert len(TEXTS[path].splitlines()) < MOST_LINES


def test_every_element_that_a_script_looks_up_is_on_the_page() -> None:
    on_page = set(re.findall(r'\sid="([^"]+)"', TEXTS["/"]))
    scripts = "".join(text for path, text in TEXTS.items() if path.endswith(".js"))
    assert set(re.findall(r'byId\("([^"]+)"\)', scripts)) <= on_page


def test_every_code_with_a_hint_is_a_code_of_the_contract() -> None:
    [hints] = re.findall(r"export const HINTS = \{(.*?)\n\};", TEXTS["/page/words.js"], re.DOTALL)
    codes = set(re.findall(r'"([a-z-]+)":', hints))
    assert codes
    assert codes <= set(ErrorCode)
