"""The grammar below both kinds of playlist: lines, tags, attribute lists, values (rules 1, 2).

It never raises: what is wrong becomes a :class:`Fault` with its line, and reading goes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction

# Far above any real playlist: a day of 2 s segments with parts is 1.5 million characters.
MAX_PLAYLIST_BYTES = 4 * 1024 * 1024
_MAX_LINES = 60_000
_MAX_FAULTS = 200
_BOM = b"\xef\xbb\xbf"
_NAME = re.compile(r"[A-Z0-9-]+")
_VALUE = re.compile(r'"[^"]*"|[^",\s]+')
# Longer numbers are hostile: Fraction("1e999999999") would never end.
_INTEGER = re.compile(r"\d{1,20}")
_DECIMAL = re.compile(r"\d{1,20}(\.\d{1,20})?")
_DATE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?P<fraction>\.\d{1,9})?(?P<zone>Z|[+-]\d\d:?\d\d)?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Fault:
    """One breach that a playlist shows by itself."""

    line: int
    rule: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}"


@dataclass(slots=True)
class Faults:
    """Collects faults; a hostile playlist cannot make it grow without end."""

    found: list[Fault] = field(default_factory=list)

    def add(self, line: int, rule: int, text: str) -> None:
        """Note one."""
        if len(self.found) < _MAX_FAULTS:
            self.found.append(Fault(line, rule, text[:200]))


@dataclass(frozen=True, slots=True)
class Line:
    """A tag (``name`` without ``#``) or a URI (``name`` empty)."""

    number: int
    name: str
    value: str


def lines(body: bytes, faults: Faults) -> Iterator[Line]:
    """Cut a playlist into tags and URIs; comments and blank lines are dropped (rule 1)."""
    if len(body) > MAX_PLAYLIST_BYTES:
        faults.add(0, 1, f"{len(body)} bytes; read up to {MAX_PLAYLIST_BYTES}")
        body = body[:MAX_PLAYLIST_BYTES]
    if body.startswith(_BOM):
        faults.add(1, 1, "begins with a byte order mark")
        body = body[len(_BOM) :]
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        faults.add(body.count(b"\n", 0, error.start) + 1, 1, f"is not UTF-8: {error.reason}")
        text = body.decode("utf-8", "replace")
    rows = text.split("\n", _MAX_LINES)
    if rows[0].rstrip("\r") != "#EXTM3U":
        faults.add(1, 1, f"is {rows[0][:40]!r}, not #EXTM3U")
    for number, row in enumerate(rows[:_MAX_LINES], start=1):
        yield from _line(number, row.removesuffix("\r"), faults)


def _line(number: int, row: str, faults: Faults) -> Iterator[Line]:
    if any(ord(character) < 32 or ord(character) == 127 for character in row):
        faults.add(number, 1, "has a control character")
    if not row.strip():
        return
    if row != row.strip():
        faults.add(number, 1, "has blanks at its ends")
        row = row.strip()
    if not row.startswith("#"):
        yield Line(number, "", row)
    elif row.startswith("#EXT"):
        name, _, value = row[1:].partition(":")
        yield Line(number, name, value)


class Attributes:
    """An attribute list. Raw values: a quoted string keeps its quotes."""

    def __init__(self, line: Line, faults: Faults) -> None:
        self._line = line
        self._faults = faults
        self._values: dict[str, str] = {}
        self._read(line.value)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def _read(self, text: str) -> None:
        at = 0
        while at < len(text):
            name = _NAME.match(text, at)
            value = _VALUE.match(text, name.end() + 1) if name else None
            if not name or text[name.end() : name.end() + 1] != "=" or not value:
                self._bad(f"attribute list is broken at {text[at : at + 30]!r}")
                return
            if name[0] in self._values:
                self._bad(f"attribute {name[0]} stands twice")
            self._values[name[0]] = value[0]
            at = value.end()
            if at < len(text):
                if text[at] != ",":
                    self._bad(f"attribute list is broken at {text[at : at + 30]!r}")
                    return
                at += 1
                if at == len(text):
                    self._bad("attribute list ends with a comma")

    def _bad(self, text: str) -> None:
        self._faults.add(self._line.number, 1, f"{self._line.name}: {text}")

    def quoted(self, name: str) -> str | None:
        """The inside of a quoted string."""
        value = self._values.get(name)
        if value is None:
            return None
        if value[0] != '"':
            self._bad(f"{name} is not a quoted string")
        return value.strip('"')

    def word(self, name: str) -> str | None:
        """An enumerated string."""
        value = self._values.get(name)
        if value is not None and value[0] == '"':
            self._bad(f"{name} must not be quoted")
        return value.strip('"') if value is not None else None

    def yes(self, name: str) -> bool:
        """Whether the attribute is YES."""
        return self.word(name) == "YES"

    def integer(self, name: str) -> int | None:
        """A decimal integer."""
        value = self.word(name)
        if value is None:
            return None
        return integer(value, self._line, self._faults)

    def decimal(self, name: str) -> Fraction | None:
        """A decimal number, exact."""
        value = self.word(name)
        if value is None:
            return None
        return decimal(value, self._line, self._faults)

    def text(self, name: str) -> str:
        """The raw text, empty if absent."""
        return self._values.get(name, "")


def integer(text: str, line: Line, faults: Faults) -> int | None:
    """A decimal integer, or None and a fault."""
    if _INTEGER.fullmatch(text) and text.isascii():
        return int(text)
    faults.add(line.number, 1, f"{line.name}: {text[:30]!r} is not a whole number")
    return None


def decimal(text: str, line: Line, faults: Faults) -> Fraction | None:
    """A decimal number, or None and a fault."""
    if _DECIMAL.fullmatch(text) and text.isascii():
        return Fraction(text)
    faults.add(line.number, 1, f"{line.name}: {text[:30]!r} is not a decimal number")
    return None


def wall_time(line: Line, faults: Faults) -> Fraction | None:
    """Seconds since 1970 UTC of an EXT-X-PROGRAM-DATE-TIME (rule 14: milliseconds, time zone)."""
    match = _DATE.fullmatch(line.value)
    if not match:
        faults.add(line.number, 14, f"{line.value[:40]!r} is not an ISO 8601 date and time")
        return None
    fraction, zone = match["fraction"] or "", match["zone"]
    if not zone:
        faults.add(line.number, 14, f"{line.value} has no time zone")
    if len(fraction) < 4:
        faults.add(line.number, 14, f"{line.value} has no milliseconds")
    try:
        whole = datetime.fromisoformat(line.value[:19] + (zone or "Z"))
        since = whole - _EPOCH
    except (ValueError, OverflowError):
        faults.add(line.number, 14, f"{line.value} is no date")
        return None
    return since.days * 86400 + since.seconds + Fraction("0" + fraction if fraction else "0")
