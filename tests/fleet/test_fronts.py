"""A stream seen through each front: nothing is lost, nothing is added, and the origin has peace."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from benchmarks.fanout_asked import per_thing
from benchmarks.fanout_http2 import context
from benchmarks.fanout_viewers import Crowd, Position
from client.check import check
from client.verdicts import Level, Outcome
from encoder.playlist_reader import read_position
from tests.fleet.conftest import Fleet
from tests.fleet.http3 import get_http3
from tests.patience import STUCK_SECONDS, come_in_order, published_at, until_all_have

pytestmark = pytest.mark.ffmpeg

CACHES = ("varnish", "nginx")
TLS = ("nginx", "haproxy", "caddy")
VIEWERS, PARTS = 60, 6
PARTS_OF_SEGMENT = 10  # 2 s of 0.2 s
# Requests of the origin for each thing that viewers ask for.
MOST_REQUESTS = 1.05
# A cache keeps a reload for 1 s.
KEPT_SECONDS = 0.8
# Of what must be asked for at the right moment.
TRIES = 4
# Parts ahead of live at which there is nothing yet; the very next would be held.
EARLY = 10
_LOOK_SECONDS = 0.02
# What a cache or proxy could break.
ITS_OWN = {30, 36, 37, 38, 42, 61, 62, 63, 65, 66, 67, 69, 70}


def is_published(fleet: Fleet, name: str) -> bool:
    return (fleet.media_root / "live/demo/v0" / name).exists()


def https_url(fleet: Fleet, name: str) -> str:
    return f"https://127.0.0.1:{fleet[name].https_port}"


def client_of(fleet: Fleet, name: str) -> httpx.AsyncClient:
    """A client with one connection over TLS, which must do for everything."""
    return httpx.AsyncClient(
        base_url=f"{https_url(fleet, name)}/live/demo/",
        verify=fleet.pair.trusting(),
        http2=True,
        limits=httpx.Limits(max_connections=1),
        timeout=10,
    )


def plain(fleet: Fleet, name: str) -> httpx.Client:
    """One connection that keeps no cookies of its own accord."""
    url = fleet[name].url
    return httpx.Client(base_url=f"{url}/live/demo/", verify=fleet.pair.trusting(), timeout=10)


def broken_behind(fleet: Fleet, name: str) -> dict[int, str]:
    """What the check finds fault with, and what it should have seen and did not."""
    url = f"{https_url(fleet, name)}/live/demo/index.m3u8"
    _seen, findings = check(url, 4, verify_tls=False)
    musts = {finding.rule: finding for finding in findings if finding.level is Level.MUST}
    return {
        rule: f"{name}: {finding.outcome.name}: {finding.evidence}"
        for rule, finding in musts.items()
        # How punctual a stream is depends on what else the machine does.
        if (finding.outcome is Outcome.FAILED and not finding.only_late)
        or (finding.outcome is not Outcome.PASSED and rule in ITS_OWN)
    }


def test_no_rule_is_broken_behind_any(fleet: Fleet) -> None:
    with ThreadPoolExecutor() as pool:  # together: each takes eight seconds
        for broken in pool.map(lambda name: broken_behind(fleet, name), TLS):
            assert broken == {}


# --- a crowd -------------------------------------------------------------------------------------


def paths(text: str, ask: str) -> tuple[Position, Callable[[Position], str]]:
    """The next part, and where it, or the reload that tells of it, is found."""
    at = read_position(text)
    prefix = re.match(r"[0-9a-f]+-", at.hint_uri)
    assert prefix
    name = prefix[0]
    first = Position(at.last_msn + 1, at.parts)
    if ask == "part":
        return first, lambda at: f"/live/demo/v0/{name}{at.msn}.{at.part}.m4s"
    return first, lambda at: f"/live/demo/v0/media.m3u8?_HLS_msn={at.msn}&_HLS_part={at.part}"


async def watch(fleet: Fleet, name: str, ask: str, *, is_tls: bool) -> Crowd:
    port = fleet[name].https_port if is_tls else fleet[name].http_port
    assert port is not None
    with plain(fleet, name) as client:
        text = client.get("v0/media.m3u8").text
    first, path = paths(text, ask)
    tls = context(fleet.pair.authority) if is_tls else None
    crowd = Crowd("127.0.0.1", port, path, parts=PARTS_OF_SEGMENT, tls=tls)
    await crowd.join(VIEWERS)
    crowd.follow(first)
    # One more than is counted: what is found first may have been in the cache already.
    await until_all_have(crowd, PARTS + 1)
    crowd.stop()
    # What is still on its way to the origin would be counted as the next crowd's.
    async with asyncio.timeout(STUCK_SECONDS):
        while crowd.waiting:
            await asyncio.sleep(_LOOK_SECONDS)
    crowd.leave()
    return crowd


@pytest.mark.parametrize(
    ("name", "ask", "is_tls"),
    [
        *((name, ask, False) for name in CACHES for ask in ("part", "playlist")),
        *((name, "part", True) for name in TLS),  # over HTTP/2
    ],
)
def test_all_viewers_get_every_part_and_the_origin_is_asked_once(
    fleet: Fleet, name: str, ask: str, is_tls: bool
) -> None:
    mark = len(fleet.relay.requests)
    crowd = asyncio.run(watch(fleet, name, ask, is_tls=is_tls))
    assert crowd.lost == 0
    bodies: dict[Position, set[int]] = {}
    for row in crowd.answers:
        assert len(row) > PARTS
        assert {answer.status for answer in row} == {200}
        asked = [answer.asked for answer in row]
        assert asked == [asked[0], *(at.next(PARTS_OF_SEGMENT) for at in asked[:-1])], (
            "one was left out"
        )
        for answer in row[1:]:  # the first may have been there already, in an older playlist
            bodies.setdefault(answer.asked, set()).add(answer.body_hash)
    assert all(len(different) == 1 for different in bodies.values())
    # Without the plain playlist, which was asked for to know where to begin.
    seen = fleet.relay.since(mark)
    held = {what: n for what, n in seen.items() if not what.endswith("/v0/media.m3u8")}
    assert len(held) >= PARTS
    assert per_thing(held) <= MOST_REQUESTS, held


# --- HTTP/2 and 3 --------------------------------------------------------------------------------


def place(text: str, ahead: int) -> Position:
    """Of video: so many parts more than the next.

    A part beyond the segment's last would mean the next segment's first (36), so it is carried.
    """
    at = read_position(text)
    segments, part = divmod(at.parts + ahead, PARTS_OF_SEGMENT)
    return Position(at.last_msn + 1 + segments, part)


def reload(rendition: str, text: str, ahead: int) -> str:
    """A reload that is answered with that place."""
    at = place(text, ahead)
    return f"{rendition}/media.m3u8?_HLS_msn={at.msn}&_HLS_part={at.part}"


async def newest(client: httpx.AsyncClient, rendition: str) -> str:
    """A playlist that is as old as its newest part: a plain one may have been kept a while."""
    text = (await client.get(f"{rendition}/media.m3u8")).text
    return (await client.get(reload(rendition, text, 3))).text


@pytest.mark.parametrize("name", TLS)
def test_ten_requests_held_on_one_http2_connection_do_not_wait_for_each_other(
    fleet: Fleet, name: str
) -> None:
    async def arrival(client: httpx.AsyncClient, path: str) -> float:
        response = await client.get(path)
        assert (response.status_code, response.http_version) == (200, "HTTP/2")
        return time.time()

    async def test() -> None:
        async with client_of(fleet, name) as client:
            big, small = await asyncio.gather(newest(client, "v0"), newest(client, "v1"))
            # Those that are held longest go first: whoever waits for the one before is late.
            ahead = (7, 6, 5, 4, 3)
            paths = [reload("v0", big, n) for n in ahead]
            paths += [reload("v1", small, n) for n in ahead]
            began = time.time()
            came = await asyncio.gather(*(arrival(client, path) for path in paths))
            for rendition, text, those in (("v0", big, came[:5]), ("v1", small, came[5:])):
                longest = place(text, ahead[0])
                last = published_at(fleet.media_root, rendition, longest.msn, longest.part)
                assert last > began, "nothing was held"
                assert those[-1] < last, "it waited for what comes later"
                assert come_in_order(reversed(those)), "another order than the parts"

    asyncio.run(test())


def test_caddy_speaks_http3(fleet: Fleet) -> None:
    with httpx.Client(verify=fleet.pair.trusting(), http2=True) as client:
        url = https_url(fleet, "caddy")
        advertised = client.get(f"{url}/live/demo/index.m3u8").headers["alt-svc"]
    port = fleet.caddy.https_port
    assert port is not None
    assert f'h3=":{port}"' in advertised
    with plain(fleet, "caddy") as client:
        at = read_position(client.get("v0/media.m3u8").text)
    path = f"/live/demo/v0/media.m3u8?_HLS_msn={at.last_msn}"
    status, headers, body = asyncio.run(get_http3(port, path, fleet.pair.authority))
    assert status == 200
    assert headers["access-control-allow-origin"] == "*"
    assert body.startswith(b"#EXTM3U")


# --- what may be shared --------------------------------------------------------------------------


@pytest.mark.parametrize("name", CACHES)
def test_who_has_authorization_or_another_method_is_passed_on(fleet: Fleet, name: str) -> None:
    with plain(fleet, name) as client:
        for _ in range(2):
            path = f"v0/media.m3u8?_HLS_msn=1&mark={name}"
            mark = len(fleet.relay.requests)
            assert client.get(path, headers={"Authorization": "Bearer x"}).status_code == 200
            assert client.head(path).status_code == 200
            assert client.options(path).status_code == 204
            assert client.post(path).status_code == 405
            assert client.delete(path).status_code == 405
            assert len(fleet.relay.requests) - mark == 5
    assert any(b"authorization: bearer x" in head.lower() for head in fleet.relay.heads)


@pytest.mark.parametrize("name", CACHES)
def test_head_never_waits(fleet: Fleet, name: str) -> None:
    with plain(fleet, name) as client:

        def asked_and_answered(method: str, path: str) -> tuple[float, float]:
            with plain(fleet, name) as own:
                asked = time.time()
                assert own.request(method, path).status_code == 200
                return asked, time.time()

        for _ in range(TRIES):
            text = client.get("v0/media.m3u8").text
            path, awaited = reload("v0", text, EARLY), place(text, EARLY)
            with ThreadPoolExecutor() as pool:  # beside one who waits for the same
                get = pool.submit(asked_and_answered, "GET", path)
                asked, answered = pool.submit(asked_and_answered, "HEAD", path).result()
                get.result()
            published = published_at(fleet.media_root, "v0", awaited.msn, awaited.part)
            if asked < published:
                break  # else this machine was so slow that there was nothing to wait for
        assert asked < published, "it was there already"
        assert answered < published, "HEAD waited"


@pytest.mark.parametrize("name", CACHES)
@pytest.mark.parametrize(
    "alike",
    [
        (
            "_HLS_msn={}&_HLS_part=0",
            "x=1&_HLS_part=0&_HLS_msn={}",
            "_HLS_part=0&&y&_HLS_msn={}&",
            "_HLS_skip=NO&_HLS_msn={}&_HLS_part=0",
            "_HLS_msn={}&_HLS_part=0&_HLS_skip=v22",
        ),
        # 42: all there is to skip is skipped for either.
        (
            "_HLS_msn={}&_HLS_part=0&_HLS_skip=YES",
            "_HLS_msn={}&_HLS_part=0&_HLS_skip=v2",
            "_HLS_skip=v2&_HLS_msn={}&_HLS_part=0",
        ),
    ],
    ids=["whole", "delta"],
)
def test_what_does_not_change_the_answer_asks_nothing_of_the_origin(
    fleet: Fleet, name: str, alike: tuple[str, ...]
) -> None:
    """Else anybody could have the origin hold a request of his own."""
    with plain(fleet, name) as client:
        newest_unasked = math.inf
        for _ in range(TRIES):
            msn = int(min(read_position(client.get("v0/media.m3u8").text).last_msn, newest_unasked))
            newest_unasked = msn - 1
            queries = [query.format(msn) for query in alike]
            mark, began = len(fleet.relay.requests), time.monotonic()
            texts = {client.get(f"v0/media.m3u8?{q}", headers={"Cookie": q}).text for q in queries}
            if time.monotonic() - began < KEPT_SECONDS:
                break  # else the first answer may have been forgotten meanwhile: another msn
        assert len(texts) == 1
        assert len(fleet.relay.requests) - mark == 1
        assert b"cookie" not in fleet.relay.heads[-1].lower()


@pytest.mark.parametrize("name", CACHES)
def test_each_gets_the_coding_that_he_takes(fleet: Fleet, name: str) -> None:
    taken = {"gzip, br": "gzip", "identity": "", "gzip;q=0": "", "GZIP;q=0.5": "gzip", "": ""}
    with plain(fleet, name) as client:
        first = client.get("v0/media.m3u8").text
        path = f"v0/media.m3u8?_HLS_msn={read_position(first).last_msn}"
        answers = {a: client.get(path, headers={"Accept-Encoding": a}) for a in [*taken, *taken]}
        media = client.get(f"v0/{read_position(first).hint_uri}")
    for accepted, expected in taken.items():
        assert answers[accepted].headers.get("content-encoding", "") == expected, accepted
        assert "accept-encoding" in answers[accepted].headers["vary"].lower()
        assert answers[accepted].text.startswith("#EXTM3U")
    assert "content-encoding" not in media.headers


@pytest.mark.parametrize("name", ["varnish", *TLS])
def test_a_piece_is_a_piece_of_the_whole(fleet: Fleet, name: str) -> None:
    with plain(fleet, name) as client:
        hinted = read_position(client.get("v0/media.m3u8").text).hint_uri
        # First of all a piece of what is not there yet: held, and no piece is kept as the whole.
        piece = client.get(f"v0/{hinted}", headers={"Range": "bytes=10-19"})
        whole = client.get(f"v0/{hinted}")
        assert (piece.status_code, piece.content) == (206, whole.content[10:20])
        assert piece.headers["content-range"] == f"bytes 10-19/{len(whole.content)}"
        beyond = client.get(f"v0/{hinted}", headers={"Range": "bytes=9999999-"})
        assert beyond.status_code == 416
        assert beyond.headers["access-control-allow-origin"] == "*"
        same = client.get(f"v0/{hinted}", headers={"If-None-Match": whole.headers["etag"]})
        assert (same.status_code, same.content) == (304, b"")


@pytest.mark.parametrize("name", ["varnish", *TLS])
def test_errors_can_be_read_by_pages_and_do_not_stay(fleet: Fleet, name: str) -> None:
    with plain(fleet, name) as client:
        far = read_position(client.get("v0/media.m3u8").text).last_msn + 9999
        for path, status in (
            ("v0/nothing.m4s", 404),
            (f"v0/media.m3u8?_HLS_msn={far}", 400),
            ("v0/media.m3u8?_HLS_part=1", 400),
            ("../nobody/v0/media.m3u8", 404),
            ("v0/%2e%2e/%2e%2e/etc/passwd", 404),
        ):
            answer = client.get(path)
            assert answer.status_code == status, path
            assert answer.headers["access-control-allow-origin"] == "*"
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers.get_list("access-control-allow-origin") == ["*"]
        # Asked for too early, so that a 404 might be kept, and then when it is there.
        for _ in range(TRIES):
            text = client.get("v0/media.m3u8").text
            at = place(text, EARLY)
            early = re.sub(
                r"\d+\.\d+\.m4s$", f"{at.msn}.{at.part}.m4s", read_position(text).hint_uri
            )
            status = client.get(f"v0/{early}").status_code
            if status == 404 or not is_published(fleet, early):
                break  # else this machine was so slow that it was not too early
        assert status == 404
        assert client.get(reload("v0", text, EARLY)).is_success
        assert client.get(f"v0/{early}").status_code == 200
