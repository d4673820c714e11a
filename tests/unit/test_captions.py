"""Captions of a text that is spoken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.webvtt import MOST_LINES, fits_a_cue, text_lines
from server.speech_voice import LONGEST_TEXT, cues, speak


def words_of(text: str) -> list[tuple[int, float]]:
    """A word each half second."""
    return [(m.start(), 0.5 * n) for n, m in enumerate(re.finditer(r"\w+", text))]


def test_each_sentence_is_a_line() -> None:
    text = 'Good morning! I said: "Stop." Version 2.5 is out. Bye'
    told = [(cue.at_seconds, cue.text) for cue in cues(text, words_of(text), 6.0)]
    assert told == [
        (0.0, "Good morning!"),
        (1.0, 'I said: "Stop."'),
        (2.5, "Version 2.5 is out."),
        (5.0, "Bye"),
    ]


def test_a_long_sentence_is_cut_between_words() -> None:
    text = "word " * 60
    lines = cues(text, words_of(text), 30.0)
    assert len(lines) > 3
    assert all(len(text_lines(cue.text)) == MOST_LINES for cue in lines[:-1])
    assert " ".join(cue.text for cue in lines) == text.strip()


@given(st.text("ab .!?\n", max_size=300))
def test_no_word_is_lost_and_time_goes_on(text: str) -> None:
    words = words_of(text)
    lines = cues(text, words, 0.5 * len(words))
    assert all(fits_a_cue(cue.text) for cue in lines)
    said = text if words else ""
    assert "".join("".join(cue.text for cue in lines).split()) == "".join(said.split())
    times = [cue.at_seconds for cue in lines]
    assert times == sorted(set(times))


def test_the_voice_tells_when_each_line_begins(tmp_path: Path) -> None:
    first, second = speak("One two three. Four five.", "en-us", tmp_path / "a.wav")
    assert (first.text, second.text) == ("One two three.", "Four five.")
    assert first.at_seconds < 0.2
    assert 0.8 < second.at_seconds < 2.5


@pytest.mark.parametrize("letter", ["a ", "ü ", "😀a "])
def test_the_longest_text_fits_an_event(tmp_path: Path, letter: str) -> None:
    """And its places are counted in characters, not in bytes."""
    import json
    from dataclasses import asdict

    from journal import LONGEST_EVENT_BYTES

    text = (letter * LONGEST_TEXT)[: LONGEST_TEXT // 4]
    told = [asdict(cue) for cue in speak(text, "en-us", tmp_path / "a.wav")]
    assert "".join("".join(cue["text"] for cue in told).split()) == "".join(text.split())
    size = len(json.dumps(told, ensure_ascii=False).encode())
    assert size * LONGEST_TEXT / len(text) < LONGEST_EVENT_BYTES
