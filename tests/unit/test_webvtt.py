"""WebVTT that no text of anyone can break."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.webvtt import read_webvtt
from encoder.webvtt import (
    HEADER_BYTES,
    LINE_COLUMNS,
    LONGEST_CUE_BYTES,
    MOST_LINES,
    Cue,
    fits_a_cue,
    join_webvtt,
    plain,
    text_lines,
    write_webvtt,
)

EMPTY = b"WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:90,LOCAL:00:00:00.001\n"


def cue(text: str, name: str = "u1-0", start_ms: int = 1000, end_ms: int = 2500) -> Cue:
    return Cue(name, start_ms, end_ms, text)


def test_a_file_word_for_word() -> None:
    assert write_webvtt([]) == EMPTY
    late = cue(
        "Two <lines> & an --> arrow that need more than one line", "u1-1", 95_000_123, 95_001_000
    )
    assert write_webvtt([cue("One."), late]).decode() == EMPTY.decode() + (
        "\nu1-0\n00:00:01.000 --> 00:00:02.500\nOne.\n"
        "\nu1-1\n26:23:20.123 --> 26:23:21.000\n"
        "Two &lt;lines&gt; &amp; an --&gt; arrow that need more\nthan one line\n"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r\n\r\nc\td", "a b c d"),
        ("a\0b\x1b[31mc\x85d\u2028e\u2029f", "a b [31mc d e f"),
        ("\u202egnp.exe\u202c \u2066x\u2069", "gnp.exe x"),
        ("soft\u00adhyphen\ufeff\u200b", "softhyphen"),
        ("lone \ud800 surrogate", "lone surrogate"),
        ("خط\u200cشکسته 👩\u200d🚀", "خط\u200cشکسته 👩\u200d🚀"),
        (" \u00a0 ", ""),
    ],
)
def test_nothing_hidden_is_left(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_lines_are_short_and_break_between_words() -> None:
    lines = text_lines("It was the best of times, it was the worst of times, it was")
    assert lines == ["It was the best of times, it was the worst", "of times, it was"]
    wide = text_lines("春" * 50)
    assert [len(line) for line in wide] == [21, 21, 8], "such a character takes two columns"


@given(st.lists(st.text(max_size=200), max_size=4))
def test_whatever_the_text_the_file_is_read_back(texts: list[str]) -> None:
    shown = [text for text in texts if plain(text)]
    cues = [cue(text, f"u{n}-0", 1000 * n, 1000 * n + 900) for n, text in enumerate(shown)]
    body = write_webvtt(cues)
    found = read_webvtt(body)
    assert found.faults == ()
    assert [each.start for each in found.cues] == [Fraction(n) for n in range(len(cues))]
    assert all(each.text.count("\n") < MOST_LINES for each in found.cues)
    assert len(body) <= HEADER_BYTES + len(cues) * LONGEST_CUE_BYTES


@given(st.text(max_size=400))
def test_no_line_is_too_long_and_no_word_is_lost(text: str) -> None:
    lines = text_lines(text)
    assert all(len(line) <= LINE_COLUMNS for line in lines)
    assert "".join("".join(lines).split()) == "".join(plain(text).split())
    assert fits_a_cue(text) == (len(lines) <= MOST_LINES)


def test_files_of_parts_become_one() -> None:
    first = write_webvtt([cue("One."), cue("Two.", "u1-1", 2500, 9000)])
    second = write_webvtt([cue("Two.", "u1-1", 2500, 4000), cue("Three.", "u1-2", 4000, 5000)])
    joined = join_webvtt([EMPTY, first, second, EMPTY])
    cut = cue("Two.", "u1-1", 2500, 4000)
    assert joined == write_webvtt([cue("One."), cut, cue("Three.", "u1-2", 4000, 5000)])
    assert join_webvtt([EMPTY, EMPTY]) == EMPTY
