"""65 over real sockets: a server that says h2 must also speak it."""

from __future__ import annotations

import pytest

from client import http2
from client.fetch import Answer
from client.http2 import NOT_CHOSEN
from tests.check.http2 import (
    Script,
    answers,
    cuts_short,
    goes_away,
    hangs_up,
    never_ends,
    over,
    resets,
    says_nothing,
    serving,
    speaks,
    speaks_http1,
)

PLAYLIST = Answer("", "GET", 200, (("x-a", "1"),), b"#EXTM3U\n", 0, 0, 0)
LARGE = Answer("", "GET", 200, (), b"#EXTM3U\n" + b"#\n" * 150_000, 0, 0, 0)
AND_THEN = "h2 is chosen, and then: "


@pytest.mark.parametrize("sound", [PLAYLIST, LARGE], ids=["small", "larger than a window"])
def test_an_answer_and_its_times(sound: Answer) -> None:
    found = over(speaks)(sound)
    assert (found.status, found.headers, found.body) == (200, sound.headers, sound.body), found
    assert found.url.endswith("/live/made-up/index.m3u8")
    assert 0 < found.asked_at <= found.first_byte_at <= found.done_at


def test_what_is_no_success_is_an_answer() -> None:
    assert over(answers(status=503))(PLAYLIST).told == "503"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (hangs_up, "the connection ended before the answer"),
        (resets, "the stream is reset, error code 2"),
        (goes_away, "GOAWAY, error code 11"),
        (cuts_short, ""),  # in the words of the library
        (speaks_http1, ""),
    ],
)
def test_who_says_h2_and_does_not_speak_it_gives_no_answer(script: Script, told: str) -> None:
    found = over(script)(PLAYLIST)
    assert found.status == 0
    assert found.told.startswith(AND_THEN + told)
    assert "timed out" not in found.told


@pytest.mark.parametrize("script", [says_nothing, never_ends])
def test_nobody_is_waited_for_without_end(script: Script) -> None:
    found = over(script, seconds=0.5)(PLAYLIST)
    assert found.status == 0
    assert "timed out" in found.told


def test_a_body_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "MAX_BODY_BYTES", 1000)
    assert over(never_ends)(PLAYLIST).told == AND_THEN + "more than 1000 bytes"


@pytest.mark.parametrize("protocols", [("http/1.1",), ()], ids=["another", "none"])
def test_where_h2_is_not_chosen_it_is_not_tried(protocols: tuple[str, ...]) -> None:
    with serving(says_nothing, PLAYLIST, *protocols) as url:
        found = http2.get(url, verify_tls=False)
    assert found is not None
    assert (found.status, found.told) == (0, NOT_CHOSEN)


def test_a_certificate_that_is_not_trusted_is_told() -> None:
    with serving(speaks, PLAYLIST, "h2") as url:
        found = http2.get(url, verify_tls=True)
    assert found is not None
    assert found.told.startswith("no TLS: ")
    assert "CERTIFICATE_VERIFY_FAILED" in found.told


def test_plain_http_has_no_handshake() -> None:
    assert http2.get("http://127.0.0.1/", verify_tls=True) is None
