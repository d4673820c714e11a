"""What the fan-out benchmark counts with: its HTTP/2 viewer, its medians, its table."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from benchmarks.fanout_asked import Asked, between, mark, per_thing
from benchmarks.fanout_http2 import Reader, greeting, request
from benchmarks.fanout_measure import CALM, Result, medians
from benchmarks.fanout_server import _noting_wsgi, _NotingAsgi
from benchmarks.fanout_table import command, markdown, ratios, title

CALM_RESULT = Result(
    mode="coalescer",
    case=CALM,
    viewers=10,
    parts=5,
    p50_ms=1,
    p99_ms=2,
    part_p99_ms=2,
    missed=0,
    asked_late=0,
    cpu_us={"origin": 10.0},
    memory_mb={"origin": 50.0},
    origin_per_thing=10,
    flask_per_thing=1,
    threads=3,
    refused=0,
    lost=0,
    pests=0,
)


def server() -> h2.connection.H2Connection:
    made = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    made.initiate_connection()
    return made


@pytest.mark.parametrize("path", ["/", "/live/demo/v0/media.m3u8?_HLS_msn=4", "/" + "x" * 126])
@pytest.mark.parametrize("more", [0, 1, 200, 5000])
def test_a_server_reads_the_viewers_request(path: str, more: int) -> None:
    path += "y" * more
    events = server().receive_data(greeting() + request(1, path) + request(3, path))
    asked = [event for event in events if isinstance(event, h2.events.RequestReceived)]
    assert [event.stream_id for event in asked] == [1, 3]
    headers = dict(asked[0].headers)
    assert headers[b":path"] == path.encode()
    assert (headers[b":method"], headers[b":scheme"]) == (b"GET", b"https")


@pytest.mark.parametrize(("status", "read"), [("200", 200), ("404", 404), ("503", -1)])
@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_the_viewer_reads_the_servers_answer(status: str, read: int, piece: int) -> None:
    origin = server()
    origin.receive_data(greeting() + request(1, "/"))
    origin.send_headers(1, [(":status", status), ("content-type", "video/mp4")])
    origin.send_data(1, b"a" * 16_000)
    origin.send_data(1, b"b" * 16_000, end_stream=True)
    origin.ping(b"12345678")
    data, reader, replies = origin.data_to_send(), Reader(), b""
    for at in range(0, len(data), piece):
        replies += reader.feed(data[at : at + piece])
    assert (reader.status, reader.has_ended) == (read, True)
    assert reader.body == b"a" * 16_000 + b"b" * 16_000
    answered = origin.receive_data(replies)
    kinds = {type(event) for event in answered}
    assert {h2.events.SettingsAcknowledged, h2.events.PingAckReceived} <= kinds
    reader.next_answer()
    assert not reader.has_begun
    assert not reader.has_ended


def test_medians_are_taken_of_each_figure_and_each_program() -> None:
    others = [replace(CALM_RESULT, p99_ms=n, cpu_us={"origin": 10.0 * n}) for n in (1, 9, 3)]
    middle = medians(others)
    assert middle.p99_ms == 3
    assert middle.cpu_us == {"origin": 30.0}


def test_each_row_is_held_against_the_bare_application_of_the_same_run() -> None:
    bare = replace(CALM_RESULT, mode="bare")
    two = replace(CALM_RESULT, mode="bare-2")
    runs = {
        "bare calm": [replace(bare, p99_ms=n) for n in (10, 20)],
        "bare-2 calm": [replace(two, p99_ms=n) for n in (40, 40)],
        "coalescer-2 calm": [replace(CALM_RESULT, mode="coalescer-2", p99_ms=80)] * 2,
        "varnish slow": [replace(CALM_RESULT, mode="varnish", case="slow", p99_ms=20)] * 2,
    }
    found = ratios(runs)
    assert found["coalescer-2 calm"] == 2
    assert found["varnish slow"] == 1.5
    table = markdown([runs["varnish slow"][0]], found)
    assert "| Varnish + slow readers | 10 |" in table
    assert "| 1.50 |" in table
    assert title(runs["coalescer-2 calm"][0]) == "lipstream, 2 web processes"


def test_the_command_is_told_without_the_files_of_one_machine() -> None:
    given = ["--first", "--json", "/here/a.json", "--runs", "2", "--markdown=/here/b.md"]
    assert command(given) == "python -m benchmarks.fanout --first --runs 2"


# --- what the origin is asked for ----------------------------------------------------------------

PARTS = {f"GET /live/demo/v0/r-{n}.m4s?": 1 for n in range(15)}
RELOADS = {f"GET /live/demo/v0/media.m3u8?_HLS_msn={n}": 1 for n in range(2)}
SEGMENT = {"GET /live/demo/v0/r-1.m4s?": 1}


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (PARTS, 1),
        # A storm and slow readers ask for other things, each of them once behind a cache.
        (PARTS | RELOADS, 1),
        (PARTS | SEGMENT, 1),
        # Whoever asks again for the same is seen, whoever it is.
        (PARTS | dict.fromkeys(RELOADS, 2), 19 / 17),
        (dict.fromkeys(PARTS, 2), 2),
        # Without a cache: the crowd, and beside it a crowd that asks for something else.
        (dict.fromkeys(PARTS | RELOADS, 300), 300),
    ],
)
def test_what_others_ask_for_is_not_laid_to_the_crowds_parts(
    asked: dict[str, int], wanted: float
) -> None:
    assert per_thing(Counter(asked)) == wanted


def test_where_nothing_was_asked_for_there_is_no_figure() -> None:
    assert math.isnan(per_thing(Counter()))


def test_what_was_asked_is_counted_from_one_moment_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In all processes, also in one that came only then."""
    monkeypatch.setattr("os.getpid", lambda: 1)
    first = Asked(tmp_path)
    first.note("GET /a?")
    begin = mark(tmp_path)
    monkeypatch.setattr("os.getpid", lambda: 2)
    second = Asked(tmp_path)
    for asked, what in ((first, "GET /a?"), (second, "GET /a?"), (second, "GET /a?x=1")):
        asked.note(what)
    end = mark(tmp_path)
    first.note("GET /b?")
    assert between(begin, end) == {"GET /a?": 2, "GET /a?x=1": 1}
    assert between(end, mark(tmp_path)) == {"GET /b?": 1}


def test_the_web_process_notes_every_request_and_each_call_of_flask(tmp_path: Path) -> None:
    class App:
        close = None

        async def __call__(self, *_: Any) -> None:
            pass

    async def nothing(*_: Any) -> Any:
        pass

    folders = [tmp_path / "asked", tmp_path / "called"]
    for folder in folders:
        folder.mkdir()
    asked, called = map(Asked, folders)
    wrapped = _NotingAsgi(App(), asked)
    scope = {"type": "http", "method": "HEAD", "path": "/live/a", "query_string": b"_HLS_msn=4"}
    asyncio.run(wrapped(scope, nothing, nothing))
    asyncio.run(wrapped({"type": "lifespan"}, nothing, nothing))
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/live/a", "QUERY_STRING": ""}
    assert _noting_wsgi(lambda _environ, _start: ["body"], called)(environ, None) == ["body"]
    now = [between({}, mark(folder)) for folder in folders]
    assert now == [{"HEAD /live/a?_HLS_msn=4": 1}, {"GET /live/a?": 1}]
