"""A text is posted, and what viewers can read follows what they hear, whatever happens."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from client.playlists import MediaPlaylist, Segment
from client.reader import read_media_playlist
from client.webvtt import Cue, read_webvtt
from encoder.media_root import RUN
from encoder.playlist_reader import read_position
from journal import Journal
from tests.browser.watching import until
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.ffmpeg

SMALL = ("--width", "320", "--height", "180", "--ladder", "single", "--audio", "none")
PLAIN: dict[str, Any] = {"latency": "normal", "width": 320, "height": 180, "ladder": "single"}
SENTENCES = (
    "Here is the first sentence.",
    "Then comes the second one.",
    "After it there is a third.",
    "And this is the fourth already.",
)
TEXT = " ".join(SENTENCES)
SEGMENT_SECONDS = 2.0


@dataclass(frozen=True)
class Face:
    """A stream that is spoken through and recorded."""

    service: Service
    media_root: Path
    recordings: Path

    @property
    def text(self) -> str:
        """Where the captions are."""
        return f"{self.service.url}/live/demo/s0"

    def say(self, text: str) -> str:
        url = f"{self.service.url}/api/streams/demo/speech"
        answer = requests.post(url, json={"text": text}, timeout=20)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["utterance"])

    def told(self, kind: str, utterance: str) -> dict[str, Any]:
        """The facts of an event, as soon as it has happened."""
        journal = Journal(self.media_root / RUN / "demo.events")

        def found() -> dict[str, Any] | None:
            for event in journal.after(0):
                if event.kind == kind and event.facts.get("utterance") == utterance:
                    return event.facts
            return None

        facts: dict[str, Any] = until(f"{kind} of {utterance}", found, 20)
        return facts

    def playlist(self) -> MediaPlaylist:
        return read_media_playlist(requests.get(f"{self.text}/media.m3u8", timeout=5).content)

    def cues(self, segment: Segment) -> list[Cue]:
        answer = requests.get(f"{self.text}/{segment.uri}", timeout=5)
        assert answer.headers["Content-Type"].startswith("text/vtt")
        found = read_webvtt(answer.content)
        assert found.faults == ()
        return list(found.cues)

    def segment(self, msn: int) -> Segment:
        """One of the segments, complete."""
        url = f"{self.text}/media.m3u8?_HLS_msn={msn}"
        playlist = read_media_playlist(requests.get(url, timeout=8).content)
        return next(each for each in playlist.segments if each.msn == msn)

    def has_begun(self, msn: int) -> bool:
        """Whether a part of the segment is published."""
        text = requests.get(f"{self.text}/media.m3u8", timeout=5).text
        at = read_position(text)
        return (at.last_msn, at.parts) > (msn - 1, 0)


@pytest.fixture(scope="module")
def face() -> Iterator[Face]:
    with temporary_media_root() as folder:
        root, recordings = Path(folder) / "media", Path(folder) / "kept"
        flags = (*SMALL, "--record", "hls", "--record-folder", str(recordings))
        with Service(root, flags) as service:
            yield Face(service, root, recordings)


def test_lines_begin_when_they_are_said(face: Face) -> None:
    utterance = face.say(" ".join(SENTENCES[:2]))
    lines = face.told("speech_queued", utterance)["cues"]
    began = face.told("speech_started", utterance)
    ended = face.told("speech_finished", utterance)
    listed = [face.segment(msn) for msn in range(began["msn"], ended["msn"] + 1)]
    cues = {cue.text: cue for segment in listed for cue in face.cues(segment)}
    assert [line["text"] for line in lines] == list(SENTENCES[:2])
    for line in lines:
        said = began["media_seconds"] + line["at_seconds"]
        assert float(cues[line["text"]].start) == pytest.approx(said, abs=0.002)
    last = cues[SENTENCES[1]]
    assert float(last.end) == pytest.approx(ended["media_seconds"], abs=0.002)


def test_an_interruption_leaves_nothing_that_was_not_said(face: Face) -> None:
    utterance = face.say(TEXT)
    began = face.told("speech_started", utterance)
    until("the first line is published", lambda: _shows(face, SENTENCES[0], began["msn"]), 8)
    requests.delete(f"{face.service.url}/api/streams/demo/speech", timeout=5)
    cut = face.told("speech_interrupted", utterance)
    listed = [face.segment(msn) for msn in range(began["msn"], cut["msn"] + 2)]
    cues = [
        cue
        for segment in listed
        for cue in face.cues(segment)
        if cue.start >= began["media_seconds"]
    ]
    assert {cue.text for cue in cues} < set(SENTENCES)
    last = face.cues(listed[-2])
    if cut["media_seconds"] % SEGMENT_SECONDS:
        newest = max(last, key=lambda cue: cue.start)
        assert float(newest.end) == pytest.approx(cut["media_seconds"], abs=0.002)
    else:
        assert last == [], "its first unit is silent"
    assert face.cues(listed[-1]) == []


def _shows(face: Face, text: str, since: int) -> bool:
    listed = [each for each in face.playlist().segments if each.msn >= since]
    return any(text in (cue.text for cue in face.cues(each)) for each in listed)


def test_what_is_said_while_the_encoder_is_replaced_can_be_read(face: Face) -> None:
    utterance = face.say(TEXT)
    began = face.told("speech_started", utterance)
    # It is told when it is fed; a successor begins with the first segment that nobody has seen of.
    until("its segment has begun", lambda: face.has_begun(began["msn"]), 8)
    os.kill(face.service.find("-m encoder"), signal.SIGKILL)
    ended = face.told("speech_finished", utterance)
    face.segment(ended["msn"])
    playlist = face.playlist()
    (broken,) = (each.msn for each in playlist.segments if each.discontinuity)
    after = [each for each in playlist.segments if each.msn >= broken]
    cues = {cue.text: cue for each in after for cue in face.cues(each)}
    assert began["msn"] < broken <= ended["msn"]
    assert {SENTENCES[2], SENTENCES[3]} <= cues.keys()
    assert float(cues[SENTENCES[3]].end) == pytest.approx(ended["media_seconds"], abs=0.1)
    assert playlist.segments[0].msn < broken, "what was read before is still there"


def test_plain_hls_has_them_too(face: Face) -> None:
    """And a stream that is told to have none, or cannot speak, has no such rendition."""
    for name, changes in (
        ("plain", PLAIN | {"captions": "pt-BR"}),
        ("none", PLAIN | {"captions": "none"}),
        ("card", PLAIN | {"source": {"type": "testcard"}}),
    ):
        api = f"{face.service.url}/api/streams"
        assert requests.post(api, json=changes | {"id": name}, timeout=20).status_code == 201
        text = requests.get(f"{face.service.url}/live/{name}/index.m3u8", timeout=15).text
        assert ("TYPE=SUBTITLES" in text, "SUBTITLES=" in text) == (name == "plain",) * 2
        media = requests.get(f"{face.service.url}/live/{name}/s0/media.m3u8", timeout=5)
        assert media.status_code == (200 if name == "plain" else 404)
        if name == "plain":
            assert 'LANGUAGE="pt-BR"' in text
            assert read_media_playlist(media.content).has_parts is False
        requests.delete(f"{api}/{name}", timeout=5)
        requests.delete(f"{api}/{name}", timeout=5)


def test_a_language_that_is_none_is_refused(face: Face) -> None:
    body = {"id": "bad", "captions": 'en",DEFAULT=YES'}
    answer = requests.post(f"{face.service.url}/api/streams", json=body, timeout=20)
    assert answer.status_code == 400
    assert "give a language" in answer.json()["detail"]


def test_at_the_end_all_stays_and_the_recording_has_it(face: Face) -> None:
    requests.delete(f"{face.service.url}/api/streams/demo", timeout=5)
    until("the captions end", lambda: face.playlist().ended, 8)
    assert all(face.cues(each) is not None for each in face.playlist().segments if not each.gap)
    (folder,) = face.recordings.glob("demo-*")
    assert "TYPE=SUBTITLES" in (folder / "index.m3u8").read_text("utf-8")
    recorded = folder / "s0/media.m3u8"  # its end is written after that of the stream
    ended = lambda: read_media_playlist(recorded.read_bytes()).ended  # noqa: E731
    until("the recording ends", ended, 8)
    kept = read_media_playlist(recorded.read_bytes())
    files = [folder / "s0" / each.uri for each in kept.segments if not each.gap]
    found = [read_webvtt(file.read_bytes()) for file in files]
    assert not any(each.faults for each in found)
    assert {SENTENCES[0], SENTENCES[3]} <= {cue.text for each in found for cue in each.cues}
