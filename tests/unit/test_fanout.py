"""What the fan-out benchmark counts with: its HTTP/2 viewer, its medians, its table."""

from __future__ import annotations

from dataclasses import replace

import h2.config
import h2.connection
import h2.events
import pytest

from benchmarks.fanout_http2 import Reader, greeting, request
from benchmarks.fanout_measure import CALM, Result, medians
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
    origin_per_part=10,
    flask_per_part=1,
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
