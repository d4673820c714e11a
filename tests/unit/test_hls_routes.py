"""The origin over a folder that a test fills: no encoder, no sleep."""

from __future__ import annotations

import gzip
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config import Settings
from encoder.playlist import (
    MediaPlaylist,
    PartEntry,
    SegmentEntry,
    ServerControl,
    render_media_playlist,
)
from server import hls
from server.app import create_app
from server.snapshot import Snapshots
from server.watcher import FolderWatcher

CONTROL = ServerControl(2, 6, Fraction(1, 5), Fraction(3, 5))
LONG = ServerControl(4, 12, Fraction(1, 5), Fraction(3, 5))  # segments of 4 s
RUN = "abc123"


def playlist(
    last_msn: int = 7, parts: int = 3, *, ended: bool = False, control: ServerControl = CONTROL
) -> str:
    """Three complete segments up to ``last_msn``, and some parts of the next one."""
    segments = tuple(_segment(msn, 10) for msn in range(last_msn - 2, last_msn + 1))
    current = _segment(last_msn + 1, parts) if parts and not ended else None
    hint = f"{RUN}-{last_msn + 1}.{parts}.m4s"
    return render_media_playlist(
        MediaPlaylist(control, segments, current, hint_uri=hint, ended=ended)
    )


def _segment(msn: int, parts: int) -> SegmentEntry:
    listed = tuple(PartEntry(f"{RUN}-{msn}.{i}.m4s", Fraction(1, 5), i == 0) for i in range(parts))
    complete = parts == 10
    return SegmentEntry(
        msn,
        f"{RUN}-{msn}.m4s" if complete else "",
        Fraction(2) if complete else Fraction(),
        f"{RUN}-init.mp4",
        1_790_000_000_000 + msn * 2000,
        parts=listed,
    )


class Stream:
    """A stream's folder and a way to ask for it from another thread."""

    def __init__(self, root: Path, pool: ThreadPoolExecutor) -> None:
        self.folder = root / "live" / "demo"
        for name in ("v0", "s0"):
            (self.folder / name).mkdir(parents=True)
        (root / "run").mkdir()
        self.app = create_app(Settings(), root)
        self.client: FlaskClient = self.app.test_client()
        self._pool = pool
        self.held_or_answered = threading.Event()
        self.publish("v0/media.m3u8", playlist())
        self.publish("index.m3u8", "#EXTM3U\n")

    def publish(self, name: str, text: str) -> None:
        partial = self.folder / ".partial-x"
        partial.write_text(text)
        partial.rename(self.folder / name)

    def ask(self, path: str) -> Future[TestResponse]:
        """GET in another thread; returns once the request is being held or is answered."""
        self.held_or_answered.clear()
        future = self._pool.submit(lambda: self.app.test_client().get(f"/live/demo/{path}"))
        future.add_done_callback(lambda _: self.held_or_answered.set())
        assert self.held_or_answered.wait(5)
        return future


@pytest.fixture
def stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stream]:
    with ThreadPoolExecutor() as pool:
        made = Stream(tmp_path, pool)
        registered = FolderWatcher._registered

        @contextmanager
        def watched(watcher: FolderWatcher, folder: Path) -> Iterator[threading.Event]:
            with registered(watcher, folder) as changed:
                made.held_or_answered.set()
                yield changed

        monkeypatch.setattr(FolderWatcher, "_registered", watched)
        yield made


def test_61_types_and_63_caching(stream: Stream) -> None:
    answer = stream.client.get("/live/demo/v0/media.m3u8")
    assert answer.status_code == 200
    assert answer.mimetype == "application/vnd.apple.mpegurl"
    assert answer.headers["Cache-Control"] == "public, max-age=1"
    stream.publish(f"v0/{RUN}-7.m4s", "media")
    media = stream.client.get(f"/live/demo/v0/{RUN}-7.m4s")
    assert media.mimetype == "video/mp4"
    assert media.headers["Cache-Control"] == "public, max-age=60"
    stream.publish(f"s0/{RUN}-7.3.vtt", "WEBVTT\n")
    text = stream.client.get(f"/live/demo/s0/{RUN}-7.3.vtt", headers={"Accept-Encoding": "gzip"})
    assert text.mimetype == "text/vtt"
    assert text.headers["Cache-Control"] == "public, max-age=60"
    assert "Content-Encoding" not in text.headers


@pytest.mark.parametrize(("control", "target_duration"), [(CONTROL, 2), (LONG, 4)])
def test_63_ages_follow_the_target_duration(
    stream: Stream, control: ServerControl, target_duration: int
) -> None:
    stream.publish("v0/media.m3u8", playlist(control=control))
    stream.publish(f"v0/{RUN}-7.m4s", "media")

    def age(path: str) -> int:
        header = stream.client.get(f"/live/demo/v0/{path}").headers["Cache-Control"]
        return int(header.removeprefix("public, max-age="))

    assert age("media.m3u8") == target_duration / 2
    assert age("media.m3u8?_HLS_msn=7") == 6 * target_duration
    assert age("media.m3u8?_HLS_msn=99") == 4 * target_duration
    assert age(f"{RUN}-7.m4s") >= 6 * target_duration
    assert age(f"{RUN}-1.m4s") == age("nothing") == target_duration


def test_36_a_reload_is_held_until_its_part_is_there(stream: Stream) -> None:
    held = stream.ask("v0/media.m3u8?_HLS_msn=8&_HLS_part=3")
    assert not held.done()
    stream.publish("v0/media.m3u8", playlist(parts=4))
    answer = held.result(5)
    assert answer.status_code == 200
    assert f"{RUN}-8.3.m4s" in answer.text
    assert answer.headers["Cache-Control"] == "public, max-age=12"


def test_36_msn_alone_waits_for_the_whole_segment(stream: Stream) -> None:
    held = stream.ask("v0/media.m3u8?_HLS_msn=8")
    stream.publish("v0/media.m3u8", playlist(parts=9))
    stream.publish("v0/media.m3u8", playlist(last_msn=8, parts=0))
    assert f"\n{RUN}-8.m4s\n" in held.result(5).text


def test_36_part_past_the_end_rolls_over_into_the_segment_in_progress(stream: Stream) -> None:
    held = stream.ask("v0/media.m3u8?_HLS_msn=8&_HLS_part=10")
    stream.publish("v0/media.m3u8", playlist(last_msn=8, parts=0))
    stream.publish("v0/media.m3u8", playlist(last_msn=8, parts=1))
    assert f"{RUN}-9.0.m4s" in held.result(5).text


def test_37_an_evicted_msn_is_answered_at_once(stream: Stream) -> None:
    assert stream.client.get("/live/demo/v0/media.m3u8?_HLS_msn=1").status_code == 200


@pytest.mark.parametrize(
    "query", ["_HLS_part=1", "_HLS_msn=x", "_HLS_msn=99", "_HLS_msn=8&_HLS_part=40"]
)
def test_38_39_are_400_at_once_with_cors(stream: Stream, query: str) -> None:
    answer = stream.client.get(f"/live/demo/v0/media.m3u8?{query}")
    assert answer.status_code == 400
    assert answer.mimetype == "application/problem+json"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_40_a_reload_that_waits_three_target_durations_is_503(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def give_up(_self: object, _folder: Path, _check: object, seconds: float) -> None:
        asked.append(seconds)

    monkeypatch.setattr("server.watcher.FolderWatcher.wait_for", give_up)
    answer = stream.client.get("/live/demo/v0/media.m3u8?_HLS_msn=8&_HLS_part=3")
    assert answer.status_code == 503
    assert asked == [6]


@pytest.mark.parametrize(
    "query",
    ["_HLS_msn=50", "_HLS_msn=9999", "_HLS_part=1", "_HLS_msn=x", "_HLS_msn=-1", "_HLS_skip=YES"],
)
def test_41_after_the_end_directives_are_ignored(stream: Stream, query: str) -> None:
    stream.publish("v0/media.m3u8", playlist(ended=True))
    answer = stream.client.get(f"/live/demo/v0/media.m3u8?{query}")
    assert (answer.status_code, answer.text) == (200, playlist(ended=True))


def test_41_a_reload_that_is_held_when_the_stream_ends_is_answered(stream: Stream) -> None:
    held = stream.ask("v0/media.m3u8?_HLS_msn=9")
    assert not held.done()
    stream.publish("v0/media.m3u8", playlist(ended=True))
    answer = held.result(5)
    assert (answer.status_code, answer.text) == (200, playlist(ended=True))


def test_33_the_hinted_part_is_held_until_it_is_whole(stream: Stream) -> None:
    held = stream.ask(f"v0/{RUN}-8.3.m4s")
    assert not held.done()
    stream.publish(f"v0/{RUN}-8.3.m4s", "all of it")
    answer = held.result(5)
    assert (answer.status_code, answer.data) == (200, b"all of it")


@pytest.mark.parametrize("after", [playlist(ended=True), playlist(last_msn=8, parts=2)])
def test_33_a_hint_that_became_nothing_is_404_at_once(stream: Stream, after: str) -> None:
    """The stream has ended, or another encoder run went on with other names."""
    held = stream.ask(f"v0/{RUN}-8.3.m4s")
    assert not held.done()
    stream.publish("v0/media.m3u8", after)
    assert held.result(3).status_code == 404  # and not after 3 TD


def test_35_an_unhinted_part_is_404_at_once(stream: Stream) -> None:
    assert stream.client.get(f"/live/demo/v0/{RUN}-8.4.m4s").status_code == 404


def test_35_a_file_is_404_also_beside_a_playlist_that_cannot_be_read(stream: Stream) -> None:
    (stream.folder / "v0" / "media.m3u8").write_bytes(b"\xff")
    assert stream.client.get("/live/demo/v0/nothing").status_code == 404


def test_70_head_never_blocks(stream: Stream) -> None:
    answer = stream.client.head("/live/demo/v0/media.m3u8?_HLS_msn=8&_HLS_part=3")
    assert (answer.status_code, answer.data) == (200, b"")
    assert stream.client.head(f"/live/demo/v0/{RUN}-8.3.m4s").status_code == 404


def test_62_gzip_is_sent_to_who_takes_it(stream: Stream) -> None:
    text = playlist()
    (stream.folder / "v0" / "media.m3u8.gz").write_bytes(gzip.compress(text.encode()))
    path = "/live/demo/v0/media.m3u8"
    packed = stream.client.get(path, headers={"Accept-Encoding": "br, gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data).decode() == text
    for accepted in ("identity", "gzip;q=0", "br"):
        plain = stream.client.get(path, headers={"Accept-Encoding": accepted})
        assert "Content-Encoding" not in plain.headers
        assert plain.text == text
        assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    ("skip", "answer"), [("YES", "delta"), ("v2", "delta"), ("NO", "full"), ("", "full")]
)
def test_42_a_delta_is_sent_to_who_asks(stream: Stream, skip: str, answer: str) -> None:
    stream.publish("v0/delta.m3u8", playlist() + "#delta")
    text = stream.client.get(f"/live/demo/v0/media.m3u8?_HLS_skip={skip}").text
    assert text.endswith("#delta") is (answer == "delta")


def test_66_range(stream: Stream) -> None:
    stream.publish(f"v0/{RUN}-7.m4s", "0123456789")
    answer = stream.client.get(f"/live/demo/v0/{RUN}-7.m4s", headers={"Range": "bytes=2-4"})
    assert (answer.status_code, answer.data) == (206, b"234")
    assert answer.headers["Content-Range"] == "bytes 2-4/10"


@pytest.mark.parametrize(
    "ignored",
    ["lines=1-2", "bytes=abc", "bytes=5-2", "bytes=0-1,4-5", "nonsense", "bytes=", "bytes=-"],
)
def test_66_what_is_no_single_range_of_bytes_is_ignored(stream: Stream, ignored: str) -> None:
    stream.publish(f"v0/{RUN}-7.m4s", "0123456789")
    answer = stream.client.get(f"/live/demo/v0/{RUN}-7.m4s", headers={"Range": ignored})
    assert (answer.status_code, answer.data) == (200, b"0123456789")
    assert "Content-Range" not in answer.headers


def test_66_a_range_beyond_the_end_is_416_with_the_size(stream: Stream) -> None:
    stream.publish(f"v0/{RUN}-7.m4s", "0123456789")
    answer = stream.client.get(f"/live/demo/v0/{RUN}-7.m4s", headers={"Range": "bytes=20-"})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == "bytes */10"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cache-Control"] == "public, max-age=2"  # 63: a target duration
    assert answer.headers["Vary"] == "Range"


def test_a_name_is_its_own_etag_and_is_not_sent_twice(stream: Stream) -> None:
    stream.publish(f"v0/{RUN}-7.m4s", "0123456789")
    path = f"/live/demo/v0/{RUN}-7.m4s"
    first = stream.client.get(path)
    assert first.headers["ETag"] == f'"{RUN}-7.m4s"'
    again = stream.client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_answers_tell_how_long_they_were_held(stream: Stream) -> None:
    answer = stream.client.get("/live/demo/v0/media.m3u8")
    timing = re.fullmatch(r"hold;dur=([\d.]+), age;dur=([\d.]+)", answer.headers["Server-Timing"])
    assert timing is not None
    assert float(timing[1]) < 1000
    assert answer.headers["Timing-Allow-Origin"] == "*"


def test_69_preflight(stream: Stream) -> None:
    answer = stream.client.options("/live/demo/v0/media.m3u8")
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"
    assert answer.headers["Access-Control-Allow-Headers"] == "Range"
    assert answer.headers["Cache-Control"] == "public, max-age=60"


def test_63_what_will_be_there_in_a_moment_may_be_kept_for_one(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that starts has no playlist yet, and no picture."""
    monkeypatch.setattr(hls, "START_SECONDS", 0)
    monkeypatch.setattr(Snapshots, "newest", lambda *_: None)
    (stream.folder / "index.m3u8").unlink()
    for name in ("index.m3u8", "snapshot.jpg"):
        answer = stream.client.get(f"/live/demo/{name}")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert answer.headers["Cache-Control"] == "public, max-age=2"


def test_63_that_no_media_came_may_be_kept_for_four_target_durations(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hls, "hold_until", lambda *_: None)
    answer = stream.client.get("/live/demo/v0/media.m3u8?_HLS_msn=8")
    assert answer.status_code == 503
    assert answer.headers["Cache-Control"] == "public, max-age=8"


def test_a_starting_stream_is_held_for_a_moment(stream: Stream) -> None:
    (stream.folder / "index.m3u8").unlink()
    held = stream.ask("index.m3u8")
    assert not held.done()
    stream.publish("index.m3u8", "#EXTM3U\n#")
    assert held.result(5).text == "#EXTM3U\n#"


@pytest.mark.parametrize(
    "path",
    [
        "/live/other/index.m3u8",
        "/live/demo/v1/media.m3u8",
        "/live/demo/v0/.partial-x",
        "/live/demo/v0/media.m3u8.gz",
        "/live/demo/v0/..%2f..%2f..%2fsecret",
        "/live/%2e%2e/run/demo.json",
        "/live/demo%00/index.m3u8",
        "/live/DEMO/index.m3u8",
        "/live/demo/../../run/demo.json",
        "/live/" + "a" * 3000 + "/index.m3u8",
    ],
)
def test_unknown_names_and_traversal_are_404_with_cors(stream: Stream, path: str) -> None:
    (stream.folder / "v0" / ".partial-x").write_text("half")
    (stream.folder.parent.parent / "secret").write_text("secret")
    (stream.folder.parent.parent / "run" / "demo.json").write_text('{"id": "demo"}')
    answer = stream.client.get(path)
    assert answer.status_code == 404
    assert b"secret" not in answer.data
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_a_stream_that_is_deleted_frees_its_waiters(stream: Stream) -> None:
    held = stream.ask("v0/media.m3u8?_HLS_msn=8")
    (stream.folder / "v0" / "media.m3u8").unlink()
    (stream.folder / "v0").rmdir()
    assert held.result(5).status_code == 503


def test_50_the_i_frame_playlist_is_held_like_any_other(stream: Stream) -> None:
    assert stream.client.get("/live/demo/v0/iframes.m3u8").status_code == 404
    plain = ServerControl(2, 6, None, None)
    text = render_media_playlist(MediaPlaylist(plain, (_segment(7, 10),)))
    stream.publish("v0/iframes.m3u8", text)
    answer = stream.client.get("/live/demo/v0/iframes.m3u8?_HLS_msn=7&_HLS_skip=YES")
    assert (answer.status_code, answer.text) == (200, text)
    held = stream.ask("v0/iframes.m3u8?_HLS_msn=8")
    assert not held.done()
    stream.publish("v0/iframes.m3u8", text.replace(f"{RUN}-7", f"{RUN}-8").replace(":7", ":8"))
    stream.publish("v0/media.m3u8", playlist(8))  # it wakes all who wait in this folder
    assert f"{RUN}-8.m4s" in held.result(5).text


def test_mpeg_ts_is_served_where_it_is_made(stream: Stream) -> None:
    assert stream.client.get("/live/demo/ts.m3u8").status_code == 404
    (stream.folder / "t0").mkdir()
    stream.publish("ts.m3u8", "#EXTM3U\n")
    stream.publish("t0/media.m3u8", playlist())
    stream.publish(f"t0/{RUN}-7.ts", "media")
    assert stream.client.get("/live/demo/ts.m3u8").text == "#EXTM3U\n"
    assert stream.client.get("/live/demo/t0/media.m3u8").status_code == 200
    segment = stream.client.get(f"/live/demo/t0/{RUN}-7.ts")
    assert (segment.mimetype, segment.text) == ("video/mp2t", "media")
    assert stream.client.get(f"/live/demo/t0/{RUN}-8.ts").status_code == 404
