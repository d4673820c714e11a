"""Ways to break a stream: each takes an answer of the origin and gives back a worse one."""

from __future__ import annotations

import gzip
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from encoder.boxes import box, full_box
from tests.check.origin import Fault, Reply, Request
from tests.check.stream import BY_NAME, Stream

LATER = Fraction(16)  # while the stream is being watched
LIVE = Stream()
Where = Callable[[Request], bool]


# --- ways to break ------------------------------------------------------------------------------


def playlists(request: Request) -> bool:
    return request.is_playlist and request.method in ("GET", "HEAD")


def later(request: Request) -> bool:
    return playlists(request) and request.now > LATER


def of(name: str) -> Where:
    return lambda request: playlists(request) and request.path.split("/")[-2] == name


def late(request: Request) -> bool:
    return playlists(request) and request.now > 17.4


def index(request: Request) -> bool:
    return request.name == "index.m3u8" and request.method in ("GET", "HEAD")


def iframes(request: Request) -> bool:
    return request.name == "iframes.m3u8"


def media(pattern: str) -> Where:
    """Files of media by name, such as ``r-16.m4s``; ``v`` and ``a`` before a slash: the track."""
    regex = re.compile(pattern)
    return lambda r: r.is_media and bool(regex.fullmatch("/".join(r.path.split("/")[-2:])))


def text(change: Callable[[str], str], where: Where = playlists) -> Fault:
    """Another text of a playlist."""

    def fault(request: Request, reply: Reply) -> Reply:
        ok = reply.status == 200 and where(request)
        return reply.with_text(change) if ok else reply

    return fault


def sub(pattern: str, by: str, where: Where = playlists, count: int = 0) -> Fault:
    return text(lambda old: re.sub(pattern, by, old, count=count, flags=re.MULTILINE), where)


def data(change: Callable[[bytes], bytes], where: Where) -> Fault:
    """Other bytes of media."""

    def fault(request: Request, reply: Reply) -> Reply:
        ok = reply.status == 200 and where(request)
        return replace(reply, body=change(reply.body)) if ok else reply

    return fault


def header(name: str, value: str | None, where: Where, status: int | None = None) -> Fault:
    """Another header; None: none."""

    def fault(request: Request, reply: Reply) -> Reply:
        if not where(request) or status not in (None, reply.status):
            return reply
        kept = {key: old for key, old in reply.headers.items() if key != name}
        return replace(reply, headers=kept if value is None else kept | {name: value})

    return fault


def status(code: int, where: Where, only: int | None = None) -> Fault:
    """Another status."""

    def fault(request: Request, reply: Reply) -> Reply:
        ok = where(request) and only in (None, reply.status)
        return replace(reply, status=code, at=request.now) if ok else reply

    return fault


def slow(seconds: float, where: Where, spread: float = 0.001) -> Fault:
    """An answer that comes later."""

    def fault(request: Request, reply: Reply) -> Reply:
        if not where(request):
            return reply
        return replace(reply, at=max(reply.at, request.now) + Fraction(seconds), spread=spread)

    return fault


def again(where: Where) -> Where:
    """From the second request for the same file."""
    return lambda request: request.nth > 0 and where(request)


def anything(_request: Request) -> bool:
    return True


# --- faults that need more than a line ----------------------------------------------------------


def frozen(since: float, until: float) -> Fault:
    """No playlist changes for a while."""

    def fault(request: Request, reply: Reply) -> Reply:
        track, at = request.track, max(reply.at, request.now)
        if not playlists(request) or track is None or not since < at < until:
            return reply
        shown = LIVE.playlist(track, Fraction(until))
        return replace(reply, at=Fraction(until), body=shown.encode())

    return fault


def impatient(*, whole: bool) -> Fault:
    """Held reloads are answered at once; or ``whole``: when the next part is there."""

    def fault(request: Request, reply: Reply) -> Reply:
        if not playlists(request) or request.track is None or reply.at <= request.now:
            return reply
        at = request.now
        if whole:
            if "_HLS_part" in request.query:
                return reply
            at = LIVE.next_change(request.track, at) or at
        shown = LIVE.playlist(request.track, at)
        return replace(reply, at=at, body=shown.encode())

    return fault


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def no_roll_over(request: Request, reply: Reply) -> Reply:
    """A part past the last one waits for the whole next segment."""
    part, track = _number(request.query.get("_HLS_part", "")), request.track
    if not playlists(request) or track is None or reply.at <= request.now or part < 4:
        return reply
    at = reply.at + 1
    return replace(reply, at=at, body=LIVE.playlist(track, at).encode())


def lagging(name: str, seconds: int) -> Fault:
    """One rendition is late."""

    def fault(request: Request, reply: Reply) -> Reply:
        if not of(name)(request) or reply.status != 200:
            return reply
        shown = LIVE.playlist(BY_NAME[name], max(reply.at, request.now) - seconds)
        return replace(reply, body=shown.encode())

    return fault


def begins_anew(request: Request, reply: Reply) -> Reply:
    """Another stream at the same address, as after a restart that forgot everything."""
    if not later(request) or request.track is None or reply.status != 200:
        return reply
    shown = LIVE.playlist(request.track, max(reply.at, request.now) - 13)
    return replace(reply, body=shown.encode())


def gone_after(seconds: float, pattern: str) -> Fault:
    """Files are deleted too early."""

    def fault(request: Request, reply: Reply) -> Reply:
        track = request.track
        found = LIVE.media(track, request.name) if track and media(pattern)(request) else None
        if found is None or request.now < found[1] + Fraction(seconds):
            return reply
        return replace(reply, status=404, body=b"{}")

    return fault


def refuses_passed(request: Request, reply: Reply) -> Reply:
    """An msn that left the window is 400."""
    msn, track = request.query.get("_HLS_msn", ""), request.track
    if not msn.isdecimal() or track is None or not playlists(request):
        return reply
    too_old = int(msn) < LIVE.last_msn(track, request.now) - 9
    return replace(reply, status=400, body=b"{}") if too_old else reply


def has_query(name: str) -> Where:
    return lambda request: playlists(request) and name in request.query


def without_part(request: Request) -> bool:
    return has_query("_HLS_part")(request) and "_HLS_msn" not in request.query


def held(request: Request) -> bool:
    return has_query("_HLS_msn")(request)


def plain(request: Request) -> bool:
    return playlists(request) and not request.query


def tfdt(change: Callable[[int], int]) -> Callable[[bytes], bytes]:
    """Move all fragments of a file in time."""

    def moved(body: bytes) -> bytes:
        out, at = bytearray(body), body.find(b"tfdt")
        while at >= 0:
            (old,) = struct.unpack_from(">Q", out, at + 8)
            struct.pack_into(">Q", out, at + 8, change(old))
            at = body.find(b"tfdt", at + 4)
        return bytes(out)

    return moved


def patched(before: bytes, after: bytes, times: int = -1) -> Callable[[bytes], bytes]:
    return lambda body: body.replace(before, after, times)


def last_byte(body: bytes) -> bytes:
    return body[:-1] + bytes([body[-1] ^ 1])


def drifting(shown: str) -> str:
    """Each segment's date 10 ms later than the last one's."""

    def moved(match: re.Match[str]) -> str:
        second, ms = int(match[1]), int(match[2])
        return f"{second:02d}.{(ms + 10 * second) % 1000:03d}Z"

    return re.sub(r"(\d\d)\.(\d{3})Z", moved, shown)


def mvhd_duration(body: bytes) -> bytes:
    at = body.index(b"mvhd") + 4 + 16
    return body[:at] + struct.pack(">I", 5000) + body[at + 4 :]


def with_edit(body: bytes) -> bytes:
    """An edit list that skips 1024 ticks, where the trak's tkhd ends."""
    elst = full_box("elst", 0, 0, struct.pack(">IIiI", 1, 0, 1024, 0x10000))
    edts = box("edts", elst)
    out = bytearray(body)
    for name in (b"moov", b"trak"):
        at = body.index(name) - 4
        struct.pack_into(">I", out, at, struct.unpack_from(">I", body, at)[0] + len(edts))
    end = body.index(b"mdia") - 4
    return bytes(out[:end]) + edts + bytes(out[end:])


def second_track(body: bytes) -> bytes:
    at = body.index(b"trak") - 4
    size = struct.unpack_from(">I", body, at)[0]
    out = bytearray(body)
    moov = body.index(b"moov") - 4
    struct.pack_into(">I", out, moov, struct.unpack_from(">I", body, moov)[0] + size)
    return bytes(out[: at + size]) + body[at : at + size] + bytes(out[at + size :])


def aac_ticks(body: bytes) -> bytes:
    return body.replace(struct.pack(">2I", 1, 1024), struct.pack(">2I", 1, 1000))


def stray(body: bytes) -> bytes:
    """Two bytes behind the last frame of the file."""
    at = body.rindex(b"mdat") - 4
    size = struct.unpack_from(">I", body, at)[0]
    return body[:at] + struct.pack(">I", size + 2) + body[at + 4 :] + b"\0\0"


VIDEO_SEGMENT = media(r"v\d/[rs]-\d+\.m4s")
VIDEO_FILE, PART = media(r"v\d/[rs]-[\d.]+m4s"), media(r"..\/[rs]-\d+\.\d+\.m4s")
UNKNOWN = media(r"..\/0-no-such-file\.m4s")
TEXT = media(r"s0/.*")
INIT = media(r"..\/r-init\.mp4")


def _cut(reply: Reply) -> Reply:
    return replace(reply, body=reply.body[: len(reply.body) // 2])


def torn(request: Request, reply: Reply) -> Reply:
    return _cut(reply) if playlists(request) and request.nth == 5 else reply


def half_of_the_hint(request: Request, reply: Reply) -> Reply:
    early = PART(request) and reply.at > request.now
    return replace(_cut(reply), at=request.now) if early else reply


def greedy_delta(request: Request, reply: Reply) -> Reply:
    """A delta that skips three segments more."""
    if not has_query("_HLS_skip")(request) or "#EXT-X-SKIP" not in reply.body.decode():
        return reply
    old = reply.body.decode()
    count = int(re.findall(r"SKIPPED-SEGMENTS=(\d+)", old)[0])
    shown = old.replace(f"SEGMENTS={count}", f"SEGMENTS={count + 3}")
    for _ in range(3):
        shown = re.sub(r"#EXT-X-PROGRAM.*\n#EXTINF.*\nr-\d+\.m4s\n", "", shown, count=1)
    return reply.with_text(lambda _old: shown)


def lost_in_delta(request: Request, reply: Reply) -> Reply:
    """A delta that forgets a segment."""
    if not has_query("_HLS_skip")(request):
        return reply
    pattern = r"#EXT-X-PROGRAM.*\n#EXTINF.*\nr-\d+\.m4s\n"
    return reply.with_text(lambda old: re.sub(pattern, "", old, count=1))


def redirect(where: Where) -> Fault:
    def fault(request: Request, reply: Reply) -> Reply:
        return Reply(302, {"Location": "/elsewhere"}, at=reply.at) if where(request) else reply

    return fault


def packed_media(request: Request, reply: Reply) -> Reply:
    """gzip although it is media."""
    if not request.is_media or "gzip" not in request.headers.get("accept-encoding", ""):
        return reply
    body = gzip.compress(reply.body)
    headers = {"Content-Encoding": "gzip", "Content-Length": str(len(body))}
    return replace(reply, body=body, headers=reply.headers | headers)


def never_packed(request: Request, reply: Reply) -> Reply:
    if reply.headers.get("Content-Encoding") != "gzip":
        return reply
    kept = {k: v for k, v in reply.headers.items() if k != "Content-Encoding"}
    return replace(reply, headers=kept, body=gzip.decompress(reply.body))


def no_ranges(request: Request, reply: Reply) -> Reply:
    if reply.status != 206 or request.track is None:
        return reply
    found = LIVE.media(request.track, request.name)
    return replace(reply, status=200, body=found[0] if found else b"")


def wrong_range(request: Request, reply: Reply) -> Reply:
    return replace(reply, body=reply.body[::-1]) if reply.status == 206 else reply


def head(where: Where = anything) -> Where:
    return lambda request: request.method == "HEAD" and where(request)


def blocking_head(request: Request, reply: Reply) -> Reply:
    is_held = request.method == "HEAD" and held(request)
    return replace(reply, at=request.now + 2) if is_held else reply


def options(request: Request) -> bool:
    return request.method == "OPTIONS"
