"""Counting in web processes: the sums are right whichever process counted, and never fall."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from server.asgi import Environ
from server.counts import BUCKETS, KINDS, ROWS, WAYS, Counted, SendCounter, Table, kind_of

TOKEN = "/live/demo/t/0123456789abcdef0123456789ab"


@pytest.mark.parametrize(
    ("path", "has_msn", "kind"),
    [
        ("/live/demo/index.m3u8", False, "playlist"),
        ("/live/demo/v0/media.m3u8", False, "playlist"),
        ("/live/demo/v0/media.m3u8", True, "reload"),
        ("/live/demo/v0/6a1f-7.3.m4s", False, "part"),
        ("/live/demo/v0/6a1f-7.m4s", False, "segment"),
        ("/live/demo/s0/6a1f-7.3.vtt", False, "part"),
        ("/live/demo/s0/6a1f-7.vtt", False, "segment"),
        ("/live/demo/v0/6a1f-init.mp4", False, "segment"),
        (f"{TOKEN}/v0/6a1f-7.3.m4s", False, "part"),
        (f"{TOKEN}/index.m3u8", False, "playlist"),
        ("/live/demo/snapshot.jpg", False, "snapshot"),
        ("/live/demo/v0/what", False, "other"),
        ("/", False, "page"),
        ("/static/player.js", False, "page"),
        ("/api/streams", False, "api"),
        ("/readyz", False, "probe"),
        ("/metrics", False, "probe"),
        ("/metrics/x", False, "other"),
        ("", False, "other"),
    ],
)
def test_kinds_are_few(path: str, has_msn: bool, kind: str) -> None:
    assert KINDS[kind_of(path, has_msn=has_msn)] == kind


def test_an_answer_is_counted_once_in_each_way() -> None:
    table = Table()
    row, kind = table.row(), KINDS.index("reload")
    row.answered(kind, 200, 0.2, 1500)
    row.answered(kind, 503, 12.0, 100)
    row.came("joined")
    sums = table.sums()
    assert sums.status("reload", "2xx") == sums.status("reload", "5xx") == 1
    assert sums.status("part", "2xx") == 0
    assert sums.body_bytes("reload") == 1600
    assert sums.seconds("reload") == pytest.approx(12.2)
    counts = dict(sums.buckets("reload"))
    assert (counts["0.1"], counts["0.25"], counts["10.0"], counts["+Inf"]) == (0, 1, 1, 2)
    assert {way: sums.way(way) for way in WAYS} == {"called": 0, "joined": 1, "kept": 0, "own": 0}


@pytest.mark.parametrize("seconds", BUCKETS)
def test_a_bound_belongs_to_its_bucket(seconds: float) -> None:
    table = Table()
    table.row().answered(0, 200, seconds, 0)
    counts = dict(table.sums().buckets(KINDS[0]))
    assert counts[str(seconds)] == 1
    assert sum(counts.values()) == len(BUCKETS) + 1 - BUCKETS.index(seconds)


def test_the_last_kind_and_way_do_not_run_into_each_other() -> None:
    table = Table()
    row = table.row()
    row.answered(len(KINDS) - 1, 599, 99.0, 7)
    row.came(WAYS[-1])
    row.held(1)
    sums = table.sums()
    assert sums.status(KINDS[-1], "5xx") == 1
    assert (sums.way(WAYS[0]), sums.way(WAYS[-1]), sums.held) == (0, 1, 1)
    assert all(sums.status(kind, "5xx") == 0 for kind in KINDS[:-1])


def test_forked_processes_count_into_one_sum() -> None:
    table = Table()
    for worker in range(3):
        table.lease(worker)
        pid = os.fork()
        if pid == 0:
            row = table.row()
            for _ in range(1000):
                row.answered(1, 200, 0.1, 10)
                row.held(1)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    sums = table.sums()
    assert (sums.status(KINDS[1], "2xx"), sums.body_bytes(KINDS[1]), sums.held) == (
        3000,
        30000,
        3000,
    )


def test_what_a_dead_process_counted_stays_and_nobody_waits_for_it() -> None:
    table = Table()
    table.lease(1)
    row = table.row()
    row.answered(0, 200, 0.1, 10)
    row.held(5)
    table.release(1)
    assert (table.sums().status(KINDS[0], "2xx"), table.sums().held) == (1, 0)
    table.lease(2)  # in the row of the dead one
    table.row().answered(0, 200, 0.1, 10)
    assert table.sums().status(KINDS[0], "2xx") == 2


def test_no_two_living_processes_share_a_row_however_many_have_died() -> None:
    """The oldest lives on while 1,000 come and go beside it."""
    table = Table()
    table.lease(0)
    oldest = table.row()
    for worker in range(1, 1000):
        table.lease(worker)
        oldest.held(1)
        table.release(worker)  # forgets who waited in its row, not in another's
    assert table.sums().held == 999


def test_more_processes_than_rows_still_work() -> None:
    table = Table()
    for worker in range(ROWS + 2):
        table.lease(worker)
    table.row().held(1)
    assert table.sums().held == 1


# --- Flask alone, in threads ---------------------------------------------------------------------


def environ(path: str = "/live/demo/v0/6a1f-7.3.m4s", method: str = "GET") -> Environ:
    return {"PATH_INFO": path, "QUERY_STRING": "", "REQUEST_METHOD": method}


@pytest.mark.parametrize(("method", "sent"), [("GET", 3), ("HEAD", 0)])
def test_a_wsgi_answer_is_counted_and_left_as_it_is(method: str, sent: int) -> None:
    table, body, started = Table(), [b"abc"], []

    def app(_environ: Environ, start: Any) -> Any:
        assert table.sums().held == 1
        start("206 Partial Content", [("Content-Length", "3")])
        return body

    counted = Counted(app, table.row())
    answer = counted(environ(method=method), lambda *given: started.append(given))
    assert answer is body, "the server may know a faster way to send a file"
    assert started[0][0] == "206 Partial Content"
    sums = table.sums()
    assert (sums.held, sums.status("part", "2xx"), sums.body_bytes("part")) == (0, 1, sent)


def test_an_application_that_fails_is_a_5xx_and_nothing_stays_held() -> None:
    table = Table()

    def app(_environ: Environ, _start: Any) -> Any:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        Counted(app, table.row())(environ(), lambda *_: None)
    assert (table.sums().held, table.sums().status("part", "5xx")) == (0, 1)


# --- answers that are passed on ------------------------------------------------------------------


def test_an_answer_in_pieces_counts_once() -> None:
    table, through = Table(), []

    async def send(message: dict[str, Any]) -> None:
        through.append(message)

    async def test() -> None:
        counter = SendCounter(send, table.row(), kind_of("/api/streams"), 0.0)
        await counter({"type": "http.response.start", "status": 404, "headers": []})
        await counter({"type": "http.response.body", "body": b"ab", "more_body": True})
        await counter({"type": "http.response.body", "body": b"c"})
        counter.done()

    asyncio.run(test())
    sums = table.sums()
    assert len(through) == 3
    assert (sums.status("api", "4xx"), sums.body_bytes("api"), sums.way("own")) == (1, 3, 1)


def test_a_client_that_left_before_its_answer_is_none() -> None:
    table = Table()
    SendCounter(lambda _message: None, table.row(), 0, 0.0).done()  # type: ignore[arg-type,return-value]
    assert table.sums().way("own") == 0
