"""Which requests are refused without being parsed: only those that any server would read in the same way."""

from __future__ import annotations

import pytest

from producer.web.whole_request import is_whole_post

BODY = b"12345"
LINE = b"POST /predict?seen=true HTTP/1.1\r\n"
LENGTH = b"Content-Length: 5\r\n"
PLAIN = LINE + b"Host: localhost\r\n" + LENGTH + b"X-API-Key: ds_1\r\n\r\n" + BODY


def test_a_plain_request_that_has_arrived_as_a_whole_is_recognised() -> None:
    assert is_whole_post(PLAIN)
    assert is_whole_post(LINE + b"CONTENT-LENGTH:5\r\n\r\n" + BODY)
    assert is_whole_post(LINE + b"content-length: 0\r\n\r\n")
    assert is_whole_post(LINE + LENGTH + b"Content-Type: multipart/form-data; boundary=\xe9\r\n\r\n" + BODY)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        PLAIN[:-1],
        PLAIN + b"6",
        PLAIN + PLAIN,
        PLAIN[: PLAIN.index(BODY)],
        PLAIN[:20],
        PLAIN.replace(b"POST", b"PUT"),
        PLAIN.replace(b"POST", b"post"),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.1 HTTP/1.1"),
    ],
)
def test_a_part_of_a_request_or_another_kind_of_it_is_left_to_the_parser(data: bytes) -> None:
    assert not is_whole_post(data)


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: 5\r\n",
        b"Content-Length: 6\r\n",
        b"Content-Length : 6\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"transfer-encoding : chunked\r\n",
        b"Connection: close\r\n",
        b"Connection: keep-alive, upgrade\r\n",
        b"Upgrade: websocket\r\n",
        b"Expect: 100-continue\r\n",
        b"X: y\r\n z\r\n",
        b"X: y\r\n\tTransfer-Encoding: chunked\r\n",
        b"X: y\nTransfer-Encoding: chunked\r\n",
        b"X: y\rTransfer-Encoding: chunked\r\n",
        b"X: \0\r\n",
        b"X\r\n",
        b": y\r\n",
        b" X: y\r\n",
    ],
)
def test_what_another_server_may_read_in_another_way_is_left_to_the_parser(header: bytes) -> None:
    for data in (LINE + header + LENGTH, LINE + LENGTH + header):
        assert not is_whole_post(data + b"\r\n" + BODY)


@pytest.mark.parametrize("length", [b"", b"+5", b"-5", b"5, 5", b"0x5", b"5 ", b"5.0", b"0000000005", b"\xb2"])
def test_a_length_that_is_no_plain_number_is_left_to_the_parser(length: bytes) -> None:
    assert not is_whole_post(LINE + b"Content-Length: " + length + b"\r\n\r\n" + BODY)
