"""Somebody speaks through a face live: whose turn it is, what is heard, seen and told."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from inference.floor import FloorTaken
from inference.live import MOST_AHEAD_SECONDS, LiveLine, TooFast
from inference.presenter import mouth_opening, mouth_region
from inference.speech import BUILT_IN_SAMPLE
from inference.speech_socket import SpeechSocket
from inference.utterances import Utterances, name_of
from journal import Journal, Moment
from tests.unit.inference.test_speaking import (
    MEDIA,
    SEEN,
    WHOLE_MOST,
    Show,
    at_both_ends,
    face,
    post,
    steps,
    told,
    tone,
    vowels,
    whole_steps,
)

RATE = 16_000
PIECE = RATE // 25  # samples of one unit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "demo.speech"
    path.mkdir()
    return path


def pcm(wave: np.ndarray) -> bytes:
    data: bytes = np.rint(wave * 32767).astype("<i2").tobytes()
    return data


def buzz(units: int, level: float = 0.5) -> bytes:
    return pcm(level * np.sin(2 * np.pi * 200 * np.arange(units * PIECE) / RATE))


def speak(show: Show, live: LiveLine, data: bytes, rate_hz: int = RATE) -> None:
    """In step with the face: a unit of sound, a unit of picture."""
    size = 2 * rate_hz // 25
    for at in range(0, len(data), size):
        live._ahead = 0.0  # as if it had taken its time
        live.hear(data[at : at + size])
        show.go_on(1)


def test_who_speaks_is_heard_after_the_depth_and_to_his_last_word(folder: Path) -> None:
    source, utterances = face(folder)
    show = Show(source)
    live = utterances.open_live(RATE, interrupt=False)
    speak(show, live, buzz(20))
    utterances.close_live(live)
    show.go_on(20)
    moments = show.moments()
    start, end = moments[Moment.STARTED], moments[Moment.FINISHED]
    assert start in (2, 3), "120 ms are three units"
    assert end - start in (20, 21)
    heard = show.heard()
    assert all(heard[start : end - 1])
    assert not any(heard[end:])
    assert not any(heard[:start])
    assert told(folder) == [("speech_queued", name_of(live.number))]
    assert not list(folder.glob("*speaking"))
    assert live.account.underruns == 0


def test_what_is_posted_meanwhile_waits_for_its_turn(folder: Path) -> None:
    source, utterances = face(folder)
    show = Show(source)
    live = utterances.open_live(RATE, interrupt=False)
    number = post(utterances, folder, tone(5))
    speak(show, live, buzz(20))
    assert set(show.moments()) == {Moment.STARTED}
    utterances.close_live(live)
    show.go_on(30)
    marks = [mark >> 2 for mark in show.marks if mark]
    assert marks == [live.number, live.number, number, number]


def test_who_is_silent_keeps_the_floor(folder: Path) -> None:
    source, utterances = face(folder)
    show = Show(source)
    utterances.open_live(RATE, interrupt=False)
    post(utterances, folder, tone(5))
    show.go_on(30)
    assert not any(show.heard())


@pytest.mark.parametrize("words", [0, 1])
def test_who_goes_without_a_word_leaves_the_floor(folder: Path, words: int) -> None:
    source, utterances = face(folder)
    show = Show(source)
    live = utterances.open_live(RATE, interrupt=False)
    live.hear(buzz(words))
    show.go_on(2)
    utterances.close_live(live)
    number = post(utterances, folder, tone(5))
    show.go_on(30)
    assert number << 2 | Moment.STARTED in show.marks
    kinds = [kind for kind, name in told(folder) if name == name_of(live.number)]
    assert kinds == (["speech_queued"] if words else ["speech_queued", "speech_interrupted"])
    assert not list(folder.glob("*speaking"))


def test_one_speaks_and_nobody_else(folder: Path) -> None:
    _source, utterances = face(folder)
    first = utterances.open_live(RATE, interrupt=False)
    with pytest.raises(FloorTaken, match=r"somebody speaks through this face already; .*interrupt"):
        utterances.open_live(RATE, interrupt=False)
    assert first.is_open
    second = utterances.open_live(RATE, interrupt=True)
    assert first.was_interrupted
    utterances.close_live(first)
    utterances.close_live(second)
    utterances.open_live(RATE, interrupt=False)


def test_last_words_that_are_not_heard_yet_are_not_lost_to_the_next_speaker(folder: Path) -> None:
    source, utterances = face(folder)
    show = Show(source)
    first = utterances.open_live(RATE, interrupt=False)
    first.hear(buzz(2))  # less than the depth: ready only now that he is gone
    utterances.close_live(first)
    with pytest.raises(FloorTaken, match="somebody's last words are still to be said"):
        utterances.open_live(RATE, interrupt=False)
    show.go_on(1)
    second = utterances.open_live(RATE, interrupt=False)
    show.go_on(10)
    assert set(show.moments()) == {Moment.STARTED, Moment.FINISHED}
    utterances.close_live(second)
    assert not list(folder.glob("*speaking"))


def test_last_words_make_way_when_they_are_told_to(folder: Path) -> None:
    _source, utterances = face(folder)
    first = utterances.open_live(RATE, interrupt=False)
    first.hear(buzz(2))
    utterances.close_live(first)
    second = utterances.open_live(RATE, interrupt=True)
    assert ("speech_interrupted", name_of(first.number)) in told(folder)
    utterances.close_live(second)
    assert not list(folder.glob("*speaking"))


def test_who_is_given_back_when_the_floor_is_another_s_was_never_heard(folder: Path) -> None:
    _source, utterances = face(folder)
    first = utterances.open_live(RATE, interrupt=False)
    first.hear(buzz(2))
    utterances.close_live(first)
    taken = utterances.take()
    assert taken is first
    second = utterances.open_live(RATE, interrupt=False)
    second.hear(buzz(5))
    assert utterances.take() is second
    utterances.put_back(taken)
    assert second.has_begun
    assert ("speech_interrupted", name_of(first.number)) in told(folder)


def test_the_floor_is_not_free_while_something_is_said(folder: Path) -> None:
    source, utterances = face(folder)
    show = Show(source)
    number = post(utterances, folder, tone(50))
    with pytest.raises(FloorTaken, match=r"2\.0 s of speech are being said or wait; connect later"):
        utterances.open_live(RATE, interrupt=False)
    show.go_on(20)
    live = utterances.open_live(RATE, interrupt=True)
    show.give_back(3)
    speak(show, live, buzz(20))
    marks = [(mark >> 2, Moment(mark & 3)) for mark in show.marks if mark]
    assert marks == [
        (number, Moment.STARTED),
        (number, Moment.INTERRUPTED),
        (live.number, Moment.STARTED),
    ]


@pytest.mark.parametrize("way", ["hush", "say"])
def test_an_interruption_works_on_who_speaks_live(folder: Path, way: str) -> None:
    source, utterances = face(folder)
    show = Show(source)
    live = utterances.open_live(RATE, interrupt=False)
    woken: list[bool] = []
    live.on_interrupt = lambda: woken.append(True)
    speak(show, live, buzz(20))
    if way == "hush":
        utterances.hush()
    else:
        post(utterances, folder, tone(5), interrupt=True)
    assert woken == [True]
    assert source.must_stop
    show.give_back(3)
    cut = len(show.samples)
    show.go_on(30)
    assert show.marks[cut] == live.number << 2 | Moment.INTERRUPTED
    sound = np.concatenate(show.samples)[:, 0].astype(int)
    end = cut * 1920 + 480
    natural = np.abs(np.diff(sound[6 * 1920 : cut * 1920])).max()
    assert np.abs(np.diff(sound[: end + 100])).max() <= 1.2 * natural, "a click"
    assert not sound[end : end + 1920].any()
    utterances.close_live(live)
    assert any(show.heard()[cut + 1 :]) == (way == "say")


def test_units_that_were_given_back_are_drawn_again_as_they_were(folder: Path) -> None:
    source, utterances = face(folder, SEEN)
    show = Show(source, keep_pictures=True)
    live = utterances.open_live(RATE, interrupt=False)
    speak(show, live, pcm(vowels()[::3]))
    before = [(s.copy(), p) for s, p in zip(show.samples[-3:], show.pictures[-3:], strict=True)]
    show.give_back(3)
    show.go_on(3)
    for (samples, picture), again, drawn in zip(
        before, show.samples[-3:], show.pictures[-3:], strict=True
    ):
        assert np.array_equal(samples, again)
        assert np.array_equal(picture, drawn)


@pytest.mark.parametrize("own", ["", "file"])
def test_a_repeated_sound_gives_way_at_once(folder: Path, tmp_path: Path, own: str) -> None:
    """Of a file as well: somebody who speaks cannot wait for its pause."""
    if own:
        own = str(tmp_path / "own.wav")
        soundfile.write(own, tone(100), 48_000)
    source, utterances = face(folder, audio=own, pause_seconds=0.4)
    show = Show(source)
    show.go_on(20)
    live = utterances.open_live(RATE, interrupt=False)
    speak(show, live, buzz(10))
    assert show.moments()[Moment.STARTED] <= 20 + 6
    utterances.close_live(live)
    show.go_on(60)
    again = any(show.heard()[-20:])
    assert again == bool(own), "the sample never comes back, a file does"


def test_a_worker_that_dies_loses_who_spoke(folder: Path) -> None:
    _source, utterances = face(folder)
    live = utterances.open_live(RATE, interrupt=False)
    _again, successor = face(folder)
    successor.resume(600)
    assert told(folder)[-1] == ("speech_lost", name_of(live.number))


# --- how fast it may come ------------------------------------------------------------------------


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_faster_than_the_clock_is_refused_in_words() -> None:
    clock = Clock()
    live = LiveLine(1, RATE, MEDIA, 0.12, clock)
    for _ in range(24):
        live.hear(buzz(1))
    with pytest.raises(TooFast, match=r"1\.2 s ahead of the clock, 1 s is the most"):
        live.hear(buzz(6))


@pytest.mark.parametrize("skew", [0.999, 1.001])
def test_clocks_of_sound_cards_are_taken_as_they_are(skew: float) -> None:
    clock = Clock()
    live = LiveLine(1, RATE, MEDIA, 0.12, clock)
    for _ in range(40_000):  # of 0.1 s: more than an hour
        clock.now += 0.1 * skew
        live.hear(bytes(2 * RATE // 10))


def test_what_a_network_held_back_may_come_at_once() -> None:
    clock = Clock()
    live = LiveLine(1, RATE, MEDIA, 0.12, clock)
    live.hear(buzz(5))
    clock.now += 4.0
    live.hear(buzz(100))
    live.hear(buzz(int(MOST_AHEAD_SECONDS * 20)))


# --- what is seen --------------------------------------------------------------------------------


def test_nothing_jumps_at_either_end(folder: Path) -> None:
    source, utterances = face(folder, SEEN)
    show = Show(source, keep_pictures=True)
    show.go_on(12)
    live = utterances.open_live(RATE, interrupt=False)
    speak(show, live, pcm(vowels()[::3]))
    utterances.close_live(live)
    show.go_on(20)
    moments = show.moments()
    start, end = moments[Moment.STARTED], moments[Moment.FINISHED]
    change, whole = steps(show.pictures, source), whole_steps(show.pictures)
    assert at_both_ends(change, start, end).max() <= 2 * np.median(change[start:end])
    assert at_both_ends(whole, start, end).max() <= WHOLE_MOST * np.median(whole[start:end])
    opening = [mouth_opening(picture, mouth_region(source)) for picture in show.pictures]
    assert max(opening[start:end]) - max(opening[: start - 1]) > 150, "the mouth did not open"
    assert max(opening[end + 5 :]) <= max(opening[: start - 1]) + 30, "lips move at rest"


def test_lips_and_sound_stay_together(folder: Path) -> None:
    source, utterances = face(folder, SEEN)
    show = Show(source, keep_pictures=True)
    wave, rate_hz = soundfile.read(BUILT_IN_SAMPLE, dtype="float32")
    live = utterances.open_live(rate_hz, interrupt=False)
    speak(show, live, pcm(wave[: 6 * rate_hz]), rate_hz)
    opening = np.array([mouth_opening(p, mouth_region(source)) for p in show.pictures], float)
    loud = np.array([np.sqrt((s.astype(float) ** 2).mean()) for s in show.samples])
    by_lag = {
        n: np.corrcoef(opening[3:-3], loud[3 - n : len(loud) - 3 - n])[0, 1] for n in range(-3, 4)
    }
    assert max(by_lag, key=lambda lag: by_lag[lag]) == 0, by_lag
    assert by_lag[0] > 0.8


# --- the socket ----------------------------------------------------------------------------------


class Link:
    """A web process's end."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(5)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile("rb")

    def ask(self, **wish: Any) -> dict[str, Any]:
        self.socket.sendall(json.dumps(wish).encode() + b"\n")
        return self.read()

    def read(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.lines.readline())
        return said

    def told_while(self, sound: bytes) -> dict[str, Any]:
        """What is said next, while more of that sound comes in step with the clock."""
        deadline = time.monotonic() + 5
        while not select.select([self.socket], [], [], 0.04)[0]:
            assert time.monotonic() < deadline, "nothing is said"
            self.socket.sendall(sound)
        return self.read()

    def last_word(self) -> dict[str, Any]:
        while "ended" not in (said := self.read()):
            pass
        return said

    def close(self) -> None:
        self.lines.close()
        self.socket.close()


@contextmanager
def connected(folder: Path) -> Iterator[Link]:
    with closing(Link(folder.with_suffix(".say"))) as link:
        yield link


@pytest.fixture
def utterances(folder: Path) -> Utterances:
    made = Utterances(MEDIA, folder, 600, Journal(folder.with_suffix(".events")), 0.08)
    SpeechSocket(folder.with_suffix(".say"), made, 600).start()
    return made


def test_a_speaker_over_the_socket(folder: Path, utterances: Utterances) -> None:
    with connected(folder) as link, connected(folder) as other:
        welcome = link.ask(live=RATE)
        assert welcome == {"ok": True, "utterance": welcome["utterance"], "jitter_ms": 80}
        refused = other.ask(live=RATE)
        assert (refused["ok"], refused["refused"]) == (False, "taken")
        data = buzz(3)
        for piece in (data[:301], data[301:1000], data[1000:]):  # samples are cut in the middle
            link.socket.sendall(piece)
        link.socket.shutdown(socket.SHUT_WR)
        said = link.last_word()
        assert (said["ended"], said["reason"], said["underruns"]) == (1000, "", 0)
    line = utterances.take()
    assert isinstance(line, LiveLine)
    heard = np.concatenate([np.atleast_1d(line.samples(n)) for n in range(3)])
    assert np.abs(heard).max() == pytest.approx(16_384, rel=0.05)
    kinds = [kind for kind, _ in told(folder)]
    assert kinds == ["speech_queued", "live_ended"]


def test_who_is_interrupted_is_told_so(folder: Path, utterances: Utterances) -> None:
    with connected(folder) as link, connected(folder) as other:
        link.ask(live=RATE)
        other.ask(hush=True)
        said = link.last_word()
        assert said["ended"] == 4409
        assert said["reason"].startswith("interrupted")
    utterances.open_live(RATE, interrupt=False)


def test_who_sends_too_fast_is_told_so(folder: Path, utterances: Utterances) -> None:
    with connected(folder) as link:
        link.ask(live=RATE)
        link.socket.sendall(bytes(4 * RATE))
        said = link.last_word()
        assert said["ended"] == 1013
        assert "ahead of the clock" in said["reason"]
    assert utterances.queued_seconds() == 0


def test_gaps_are_told(folder: Path, utterances: Utterances) -> None:
    with connected(folder) as link:
        link.ask(live=RATE)
        link.socket.sendall(buzz(4))
        link.socket.sendall(buzz(1))
        line = None
        while line is None:
            line = utterances.take()
        while not isinstance(line, LiveLine) or not line.account.underruns:
            line.samples(len(getattr(line, "_made", ())))
        while not (account := link.told_while(buzz(1)))["underruns"]:
            pass  # said before the gap
        assert account["underruns"] == 1
    kinds = [event.kind for event in Journal(folder.with_suffix(".events")).after(0)]
    assert "live_underrun" in kinds
