"""WebVTT files as they are served in HLS, read strictly and without any trust.

Independent of what our own origin writes. Sections are RFC 8216bis; the format is W3C's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

_MPEG_HZ = 90_000
# Media times are 33 bits wide in a map (§3.1.4).
_WRAP_TICKS = 2**33
_TIME = r"(?:(\d{2,6}):)?([0-5]\d):([0-5]\d)\.(\d{3})"
_TIMING = re.compile(rf"{_TIME}[ \t]+-->[ \t]+{_TIME}(?:[ \t].*)?")
_MAP = "X-TIMESTAMP-MAP="
_CLOCK = re.compile(_TIME)
_TICKS = re.compile(r"\d{1,20}")
# Tags and references that may stand in a cue's text; what is left of < and & is none.
_MARKUP = re.compile(
    r"</?(?:c|i|b|u|ruby|rt|v|lang)(?:\.[^\s<>&]+)*(?:[ \t][^<>]*)?>"
    rf"|<{_TIME}>|&(?:[a-zA-Z]{{2,8}}|#\d{{1,7}}|#x[0-9a-fA-F]{{1,6}});"
)
_OTHER_BLOCKS = ("NOTE", "STYLE", "REGION")


@dataclass(frozen=True, slots=True)
class Cue:
    """One cue; times in seconds of the media."""

    start: Fraction
    end: Fraction
    text: str


@dataclass(frozen=True, slots=True)
class WebVtt:
    """A file, and what is wrong in it."""

    cues: tuple[Cue, ...]
    faults: tuple[str, ...]


def read_webvtt(body: bytes) -> WebVtt:
    """Read a file; never raises."""
    faults: list[str] = []
    try:
        text = body.decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        return WebVtt((), ("it is not UTF-8",))
    blocks = list(_blocks(text))
    if not blocks or blocks[0][0].split(" ")[0].split("\t")[0] != "WEBVTT":
        return WebVtt((), ("it does not begin with WEBVTT",))
    offset = _mapped(blocks[0][1:], faults)
    cues = [cue for block in blocks[1:] if (cue := _cue(block, offset, faults))]
    return WebVtt(tuple(cues), tuple(faults))


def _blocks(text: str) -> Iterator[list[str]]:
    block: list[str] = []
    for line in [*re.split(r"\r\n|\n|\r", text), ""]:
        if line:
            block.append(line)
        elif block:
            yield block
            block = []


def _mapped(header: list[str], faults: list[str]) -> Fraction:
    """Media time of cue time 0, by X-TIMESTAMP-MAP."""
    maps = [line.removeprefix(_MAP) for line in header if line.startswith(_MAP)]
    if len(maps) != 1:
        faults.append(f"{len(maps)} X-TIMESTAMP-MAP in its header, not 1")
        return Fraction()
    told = dict(each.partition(":")[::2] for each in maps[0].split(","))
    clock, ticks = _CLOCK.fullmatch(told.get("LOCAL", "")), told.get("MPEGTS", "")
    if not clock or not _TICKS.fullmatch(ticks):
        faults.append(f"X-TIMESTAMP-MAP={maps[0][:60]} has no LOCAL and MPEGTS")
        return Fraction()
    return Fraction(int(ticks) % _WRAP_TICKS, _MPEG_HZ) - _seconds(*clock.groups())


def _seconds(hours: str | None, minutes: str, seconds: str, milliseconds: str) -> Fraction:
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    return whole + Fraction(int(milliseconds), 1000)


def _cue(block: list[str], offset: Fraction, faults: list[str]) -> Cue | None:
    if block[0].split(" ")[0] in _OTHER_BLOCKS and not any("-->" in line for line in block[:2]):
        return None
    lines = block if "-->" in block[0] else block[1:]
    timing = _TIMING.fullmatch(lines[0]) if lines else None
    if timing is None:
        faults.append(f"{block[0][:40]!r} has no times")
        return None
    start, end = (_seconds(*timing.groups()[at : at + 4]) for at in (0, 4))
    if end <= start:
        faults.append(f"a cue ends at {float(end)} and begins at {float(start)}")
    text = "\n".join(lines[1:])
    bare = _MARKUP.sub("", text)
    wrong = next((sign for sign in ("-->", "<", "&") if sign in bare), None)
    if wrong:
        faults.append(f"{wrong!r} stands in the text {text[:40]!r}")
    if not text.strip():
        faults.append(f"the cue at {float(start)} is empty")
    return Cue(start + offset, end + offset, text)
