"""One life of a stream without its ffmpeg: what it tells of time that was given up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from config import Settings
from encoder.boxes import Sample, write_fragment
from encoder.candidates import CANDIDATES
from encoder.child import EncoderChild
from encoder.clock import NANOSECONDS
from encoder.codecs import Track
from encoder.ffmpeg import Ffmpeg
from encoder.fragments import TIMESTAMP_OFFSET_SECONDS
from encoder.intake import Intake
from encoder.packager import PLAYLIST_NAME
from encoder.plan import plan_stream
from encoder.playlist import SegmentEntry
from encoder.playlist_reader import read_segments
from encoder.resume import take_over
from encoder.store import StreamStore
from encoder.stream import AUDIO, LiveStream, Parts
from tests.unit.samples import avc1, init, mp4a, picture, sound

PLAN = plan_stream(Settings(width=64, height=64, ladder="single"))
TIMING = PLAN.timing
NAMES = ("v0", AUDIO)
# More than an encoder is waited for, and so given up.
LATE_SECONDS = 7
VIDEO_HZ, SOUND_HZ = 90_000, 48_000


class Life:
    """A :class:`LiveStream` over a folder, whose frames are given to it by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        store = StreamStore(folder, PLAN.bound_bytes)
        store.open(NAMES)
        self.resume = take_over(store, NAMES, TIMING.segment_seconds)
        self.live = LiveStream(
            Parts(
                settings=Settings(),
                plan=PLAN,
                ffmpeg=Ffmpeg("ffmpeg", "9", 9, 0, ""),
                candidate=next(c for c in CANDIDATES if c.name == "libx264"),
                intake=Intake(folder / "s.sock", PLAN.media),
                store=store,
                resume=self.resume,
            )
        )
        self.live._child = cast(EncoderChild, SimpleNamespace(pid=0))
        self.video, self.audio = self.live._videos[0], self.live._audio
        codecs = (Track("avc1.64001f", VIDEO_HZ), Track("mp4a.40.2", SOUND_HZ))
        for rendition, track in zip((self.video, self.audio), codecs, strict=True):
            rendition.set_init(b"init", track, self.live._run_name)

    def play(self, seconds: float) -> None:
        """Both renditions, as an encoder gives their frames."""
        end = float(self.video.end_seconds) + seconds
        while float(self.video.end_seconds) < end:
            number = self.video.segmenter.next_frame
            self.video.add(picture(number, TIMING.segment_frames, TIMING.video.frame_ticks))
            self.hear_until(self.video.end_seconds)
            self.live._after_media()

    def hear_until(self, seconds: Fraction) -> None:
        while self.audio.end_seconds < seconds:
            self.audio.add(sound(self.audio.segmenter.next_frame))

    def give_up(self) -> None:
        """The encoder has taken nothing for so long that it is not caught up with."""
        self.live._feeder.clock.epoch_ns -= LATE_SECONDS * NANOSECONDS
        self.live._pump()

    def listed(self, name: str) -> list[SegmentEntry]:
        text = (self.folder / name / PLAYLIST_NAME).read_text("utf-8")
        return list(read_segments(text)[1])

    def broken(self) -> list[list[int]]:
        """The segments behind a DISCONTINUITY, of each rendition."""
        return [[s.msn for s in self.listed(name) if s.discontinuity] for name in NAMES]


def lived(body: Callable[[], Any]) -> Any:
    """Timers need a loop; none of them comes to its turn."""

    async def run() -> Any:
        return body()

    return asyncio.run(run())


def test_16_time_given_up_before_the_first_part_of_a_takeover_costs_no_second_break(
    tmp_path: Path,
) -> None:
    """On a machine that is slow to start an encoder again."""

    def body() -> Life:
        first = Life(tmp_path / "live")
        first.play(5)
        second = Life(tmp_path / "live")
        at_once = second.live.place(0)["date_ms"]
        second.give_up()
        assert second.live.place(0)["date_ms"] - at_once >= 1000 * LATE_SECONDS - 100
        second.play(7)
        return second

    life = lived(body)
    msn = life.resume.first_msn
    assert life.broken() == [[msn], [msn]]
    anchor = life.live.place(0)["date_ms"]
    for name in NAMES:
        (segment,) = (s for s in life.listed(name) if s.msn == msn)
        assert segment.wall_ms == anchor, "14: the same in all renditions"


def test_16_time_given_up_later_breaks_at_the_next_segment_in_all_renditions(
    tmp_path: Path,
) -> None:
    def body() -> Life:
        first = Life(tmp_path / "live")
        first.play(5)
        second = Life(tmp_path / "live")
        second.play(0.4)
        second.give_up()
        second.play(6)
        return second

    life = lived(body)
    msn = life.resume.first_msn
    assert life.broken() == [[msn, msn + 1], [msn, msn + 1]]


def test_16_a_new_stream_that_starts_late_has_no_break(tmp_path: Path) -> None:
    def body() -> Life:
        life = Life(tmp_path / "live")
        life.give_up()
        life.play(7)
        return life

    assert lived(body).broken() == [[], []]


def test_16_no_rendition_has_begun_what_another_breaks(tmp_path: Path) -> None:
    """The sound is a segment ahead: both go over to the new time behind that."""

    def body() -> Life:
        life = Life(tmp_path / "live")
        life.play(3.9)
        life.hear_until(4 + 2 * TIMING.audio.part_seconds)
        life.give_up()
        life.play(6)
        return life

    assert lived(body).broken() == [[4], [4]]


# --- lip sync, as it is measured in what an encoder gives ----------------------------------------


class Encoder:
    """An ffmpeg that a test writes the output of; it takes no picture."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pid = 0
        self.video = self.audio = SimpleNamespace(idle=False)
        self.see: Callable[[bytes], None]
        self.hear: Callable[[bytes], None]
        monkeypatch.setattr("encoder.stream.EncoderChild.start", self.start)

    async def start(self, _argv: object, **told: Any) -> Encoder:
        (self.see,), self.hear = told["on_video"], told["on_audio"]
        return self


def written(samples: Iterable[Sample], timescale_hz: int, frame_ticks: int) -> Iterator[bytes]:
    """As ffmpeg writes them: a fragment for each, all times late by the same."""
    late = TIMESTAMP_OFFSET_SECONDS * timescale_hz
    for number, sample in enumerate(samples):
        moved = Sample(sample.dts_ticks + late, sample.is_sync, sample.data)
        yield write_fragment(number, [moved], frame_ticks)


@pytest.mark.parametrize(
    ("shown", "first_packet", "offset"),
    [
        (range(60), -1, 0.0),
        (range(60), 0, -0.0213),  # the sound has no priming, and is a packet late
        (range(60), -2, 0.0213),  # it has too much of it
        ([0, 1, 2, 2, *range(3, 60)], -1, -0.04),  # a picture comes twice
    ],
)
def test_what_an_encoder_shifts_is_told_of_its_parts(
    shown: Iterable[int],
    first_packet: int,
    offset: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """None of it breaks a rule of HLS, and all of it is published."""
    encoder, ticks = Encoder(monkeypatch), TIMING.video.frame_ticks

    async def body() -> Life:
        life = Life(tmp_path / "live")
        await life.live._start_child()
        encoder.see(init(avc1(), VIDEO_HZ))
        encoder.hear(init(mp4a(), SOUND_HZ))
        packets = (Sample(1024 * number, True, b"!") for number in range(first_packet, 150))
        sounds = written(packets, SOUND_HZ, 1024)
        pictures = (picture(number, TIMING.segment_frames, ticks) for number in shown)
        for fragment in written(pictures, VIDEO_HZ, ticks):
            while float(life.audio.end_seconds) <= float(life.video.end_seconds):
                encoder.hear(next(sounds))
            encoder.see(fragment)
        return life

    life = asyncio.run(body())
    figures = life.live.figures()
    assert figures["av_offset_seconds"] == offset
    assert life.video.parts == 60 // TIMING.video.part_frames
    assert not any(figures["refused_by_rule"].values())
    assert not any(figures["encoder_restarts_by_reason"].values())
