"""One stream of several lives: what it is told of them, and what it tries; without an ffmpeg."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from encoder import succession
from encoder.candidate import Candidate
from encoder.candidates import CANDIDATES
from encoder.errors import (
    EncoderError,
    EncoderExited,
    EncoderGivenUp,
    OutOfResources,
    ParametersChanged,
    StoreFull,
)
from encoder.ffmpeg import Ffmpeg
from encoder.intake import Intake
from encoder.plan import plan_stream
from encoder.process import StreamSpec
from encoder.store import StreamStore
from encoder.stream import Parts
from encoder.succession import BLOCKED, Means, Succession
from server.streams import where_it_was

HARDWARE, SOFTWARE, OTHER = (
    next(c for c in CANDIDATES if c.name == name)
    for name in ("h264_nvenc", "libx264", "libopenh264")
)
BROKEN = EncoderGivenUp("x", "exited", EncoderExited(["ffmpeg"], 1, ["no device"]))


@dataclass
class Script:
    """How each life ends; after the last one the stream is finished."""

    ends: list[EncoderError]
    lives: list[Parts] = field(default_factory=list)
    finish: Callable[[], None] = lambda: None

    def live(self, parts: Parts) -> _Life:
        self.lives.append(parts)
        return _Life(self)


@dataclass
class _Life:
    script: Script

    async def run(self) -> None:
        self.script.lives[-1].when_live()
        await asyncio.sleep(0.05)  # the trials in the thread are quick here
        if self.script.ends:
            raise self.script.ends.pop(0)

    def finish(self) -> None:
        """As a LiveStream: run() returns by itself here."""

    def figures(self) -> dict[str, Any]:
        return {"state": "live", **dict.fromkeys(succession._COUNTED, 5)}


def play(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    ends: Sequence[EncoderError],
    candidate: Candidate = SOFTWARE,
    alternatives: Sequence[Candidate] = (),
    given_up: frozenset[str] = frozenset(),
) -> tuple[Script, Succession]:
    script = Script(list(ends))
    monkeypatch.setattr(succession, "LiveStream", script.live)
    settings = Settings(width=64, height=64)
    plan = plan_stream(settings)

    async def body() -> Succession:
        means = Means(
            settings=settings,
            plan=plan,
            ffmpeg=Ffmpeg("ffmpeg", "9", 9, 0, ""),
            intake=Intake(folder / "s.sock", plan.media),
            id="t",
            folder=folder / "live",
            candidate=candidate,
            alternatives=lambda: list(alternatives),
            given_up=given_up,
        )
        stream = Succession(means)
        await asyncio.wait_for(stream.run(), 10)
        return stream

    return script, asyncio.run(body())


def test_a_broken_circuit_gives_way_to_the_next_that_works(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    works = (HARDWARE, SOFTWARE, OTHER)
    script, stream = play(monkeypatch, tmp_path, [BROKEN, BROKEN], HARDWARE, works)
    assert [parts.candidate for parts in script.lives] == [HARDWARE, SOFTWARE, OTHER]
    assert stream.figures()["encoder_changes"] == {"exited": 2}
    assert [parts.remedies.replaceable for parts in script.lives] == [True, True, False]


def test_a_broken_circuit_is_not_tried_again_by_the_next_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What its predecessor told is where it begins, and what it leaves out."""
    _, first = play(monkeypatch, tmp_path, [BROKEN], HARDWARE, [SOFTWARE, OTHER])
    spec = StreamSpec("t", "", "", "", HARDWARE.name)
    assert where_it_was(spec, {}) == spec
    greeted = where_it_was(spec, first.figures())
    assert greeted.encoder == SOFTWARE.name
    everything = (HARDWARE, SOFTWARE, OTHER)
    script, second = play(
        monkeypatch, tmp_path, [BROKEN], SOFTWARE, everything, frozenset(greeted.given_up)
    )
    assert [parts.candidate for parts in script.lives] == [SOFTWARE, OTHER]
    assert where_it_was(spec, second.figures()).given_up == (HARDWARE.name, SOFTWARE.name)


def test_the_stream_fails_only_when_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(EncoderGivenUp, match=r"fails again and again: .* no device"):
        play(monkeypatch, tmp_path, [BROKEN, BROKEN], HARDWARE, [SOFTWARE])


def test_an_encoder_that_was_asked_for_by_name_has_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(EncoderGivenUp):
        play(monkeypatch, tmp_path, [BROKEN], HARDWARE, [])


def test_other_parameters_of_the_same_encoder_begin_another_life(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script, stream = play(monkeypatch, tmp_path, [ParametersChanged("libx264", "v0")])
    assert [parts.candidate for parts in script.lives] == [SOFTWARE, SOFTWARE]
    assert stream.figures()["encoder_changes"] == {}


@pytest.mark.parametrize(
    "error", [StoreFull(Path("x"), "No space left"), OutOfResources("open a pipe", "Too many")]
)
def test_what_cannot_write_tries_again_and_counts_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: EncoderError
) -> None:
    script, stream = play(monkeypatch, tmp_path, [error])
    assert len(script.lives) == 2
    figures = stream.figures()
    assert figures["blocked"] == {type(error).__name__: 1}
    assert figures["state"] == "live"


def test_it_is_blocked_while_there_is_no_room(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[dict[str, Any]] = []
    full = [True] * 3

    def no_room(store: Any, _bytes: int) -> None:
        seen.append(running[0].figures())
        if full:
            full.pop()
            raise StoreFull(store.folder, "still no room")

    running: list[Succession] = []
    begin = Succession._begin_life

    def noted(stream: Succession) -> Any:
        running.append(stream)
        return begin(stream)

    monkeypatch.setattr(Succession, "_begin_life", noted)
    monkeypatch.setattr(StreamStore, "require_room", no_room)
    play(monkeypatch, tmp_path, [StoreFull(tmp_path, "no room")])
    assert len(seen) == 4
    assert all(figures["state"] == BLOCKED for figures in seen)
    assert "no room" in seen[0]["reason"]
    assert "still no room" in seen[-1]["reason"]


def test_counts_go_on_over_the_lives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _script, stream = play(monkeypatch, tmp_path, [ParametersChanged("libx264", "v0")])
    assert stream.figures()["units_fed"] == 10
