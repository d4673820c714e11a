"""WebVTT for HLS: cues in, whole files out; text of anyone becomes text that no player can misread.

Sections are RFC 8216bis; the format itself is W3C's WebVTT.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

VTT_SUFFIX = "vtt"
# What subtitles are set in everywhere: two lines that a phone shows in one glance.
LINE_COLUMNS, MOST_LINES = 42, 2
# Cue times are media times (§3.1.4 maps them by X-TIMESTAMP-MAP). Not the plain 0 to 0: where its
# timeline begins behind a discontinuity, at media time 0, hls.js 1.7 takes that for no map, and
# adds the start of the first segment that it has loaded.
_HEADER = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:90,LOCAL:00:00:00.001\n"
# Invisible, but part of how a script is written; all others of their kind could hide or turn text.
_JOINERS = "\u200c\u200d\u200e\u200f\u061c"
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# An identifier, two times and their arrow; a character takes four bytes, or five as a reference.
LONGEST_CUE_BYTES = 100 + 5 * LINE_COLUMNS * MOST_LINES
HEADER_BYTES = len(_HEADER)
# Words come slower; a flood of tiny utterances must not outgrow what a stream may hold.
_CUES_A_SECOND, _CUES_AT_ONCE = 2, 3


@dataclass(frozen=True, slots=True)
class Cue:
    """Some text on the screen. Its name stays when its end becomes known better."""

    name: str
    start_ms: int  # media time
    end_ms: int
    text: str


def most_cues(seconds: Fraction) -> int:
    """As many as a file of so long holds; of more the newest count."""
    return _CUES_AT_ONCE + math.ceil(_CUES_A_SECOND * seconds)


def write_webvtt(cues: Iterable[Cue]) -> bytes:
    """A whole file; without cues it says that there is nothing to show."""
    return "\n".join((_HEADER, *map(_block, cues))).encode()


def join_webvtt(files: Iterable[bytes]) -> bytes:
    """One file of several of ours; of a cue that stands in more than one the newest counts."""
    blocks: dict[str, str] = {}
    for file in files:
        _head, *found = file.decode().rstrip("\n").split("\n\n")
        blocks |= {block.partition("\n")[0]: f"{block}\n" for block in found}
    return "\n".join((_HEADER, *blocks.values())).encode()


def _block(cue: Cue) -> str:
    times = f"{_clock(cue.start_ms)} --> {_clock(cue.end_ms)}"
    text = "\n".join(text_lines(cue.text)[:MOST_LINES]).translate(_ESCAPES)
    return f"{cue.name}\n{times}\n{text}\n"


def _clock(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02d}:{minute:02d}:{second:02d}.{rest:03d}"


def text_lines(text: str) -> list[str]:
    """Break a text into lines of at most :data:`LINE_COLUMNS`, between words where that can be."""
    lines = [""]
    for word in plain(text).split(" "):
        for index, piece in enumerate(_pieces(word)):
            longer = f"{lines[-1]} {piece}" if lines[-1] and not index else lines[-1] + piece
            if _columns(longer) <= LINE_COLUMNS:
                lines[-1] = longer
            else:
                lines.append(piece)
    return [line for line in lines if line]


def fits_a_cue(text: str) -> bool:
    """Whether nothing of a text has to be left out of its cue."""
    return len(text_lines(text)) <= MOST_LINES


def plain(text: str) -> str:
    """One line without anything that is not to be seen, or turns the direction of what is."""
    return " ".join("".join(map(_visible, text)).split())


def _visible(character: str) -> str:
    kind = unicodedata.category(character)
    if kind in ("Cc", "Zl", "Zp"):
        return " "
    hidden = kind == "Cs" or (kind == "Cf" and character not in _JOINERS)
    return "" if hidden else character


def _columns(text: str) -> int:
    """Each character counts, so that no heap of accents is longer than it looks."""
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def _pieces(word: str) -> Iterator[str]:
    """A word that is longer than a line, as in scripts without spaces, breaks anywhere."""
    piece = ""
    for character in word:
        if _columns(piece + character) > LINE_COLUMNS:
            yield piece
            piece = ""
        piece += character
    yield piece
