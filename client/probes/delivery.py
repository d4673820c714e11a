"""Rules 62 to 70: compression, caching of failures, HTTP/2, ranges, CORS, HEAD."""

from __future__ import annotations

from collections.abc import Iterator

from client.fetch import GZIP, Answer, unpacked
from client.probes.site import ORIGIN, Site, is_late
from client.reader import is_multivariant, read_media_playlist
from client.rules.delivery import max_age
from client.syntax import MAX_PLAYLIST_BYTES
from client.verdicts import Check, Verdict, judge, must, not_applicable, not_seen

_ROUNDING_SECONDS = 1
_EXPOSED = ("age", "date", "content-length", "content-range")
_RANGE_BYTES = 100


def _gzip(site: Site) -> Verdict:
    """62."""

    def faults() -> Iterator[str]:
        for name, url in (("first", site.observation.url), ("media", site.rendition.url)):
            answer = site.fetch(url, headers=GZIP)
            encoding = answer.header("content-encoding").lower()
            if encoding != "gzip":
                yield f"the {name} playlist comes unpacked ({len(answer.body)} bytes)"
                continue
            if "accept-encoding" not in answer.header("vary").lower():
                yield f"the {name} playlist lacks Vary: Accept-Encoding"
            text = unpacked(answer.body, MAX_PLAYLIST_BYTES)
            if text is None or not text.startswith(b"#EXTM3U"):
                yield f"the {name} playlist does not unpack to a playlist"
        for kind in ("segment", "part", "init"):
            found = site.newest(kind)
            if found is None:
                continue
            encoding = site.fetch(found.address.url, headers=GZIP).header("content-encoding")
            if encoding not in ("", "identity"):
                yield f"{found.address.name} is packed as {encoding}"

    return judge(faults(), "playlists are packed, media are not")


def _failures(site: Site) -> Verdict:
    """63, failures: 4 TD for a blocking playlist request, 1 TD for media."""
    target_duration = site.rendition.target_duration

    def faults() -> Iterator[str]:
        yield from _wrong_age("404 of media", site.fetch(site.unknown_url()), target_duration)
        if site.blocks and not site.ended:
            bad = site.ask({"part": 0})
            if bad.status == 400:
                yield from _wrong_age("400 of a playlist", bad, 4 * target_duration)

    return judge(faults(), "failures may be cached as long as they hold")


def _wrong_age(name: str, answer: Answer, wanted: int) -> Iterator[str]:
    age = max_age(answer)
    if age is None or abs(age - wanted) > _ROUNDING_SECONDS:
        told = "not at all" if age is None else f"for {age} s"
        yield f"{name} is cached {told}, it should be {wanted} s"


def _http2(site: Site) -> Verdict:
    """65: chosen in the handshake, and then spoken."""
    answer = site.http2(site.observation.url)
    if answer is None:
        return not_applicable("plain http: browsers speak HTTP/2 over TLS only")
    return judge(_http2_faults(answer), "h2 is chosen, and a GET over it brings the playlist")


def _http2_faults(answer: Answer) -> Iterator[str]:
    if not answer.status:
        yield answer.error
    elif answer.status != 200:
        yield f"a GET over h2 answers {answer.status}"
    elif not answer.body.startswith(b"#EXTM3U"):
        yield "a GET over h2 does not bring the playlist"


def _range(site: Site) -> Verdict:
    """66."""
    found = site.newest("segment") or site.newest("part")
    if found is None or found.body is None or found.address.byterange:
        return not_seen("no file to ask a range of")
    body, url = found.body, found.address.url
    size, count = len(body), min(_RANGE_BYTES, len(body) - 1)
    wanted = {
        f"bytes=0-{count - 1}": (0, count),
        f"bytes={size - count}-": (size - count, size),
        f"bytes=-{count}": (size - count, size),
    }

    def faults() -> Iterator[str]:
        for asked, (start, end) in wanted.items():
            answer = site.fetch(url, headers={"Range": asked})
            if answer.status != 206:
                yield f"Range: {asked} answers {answer.told}"
                continue
            content_range = answer.header("content-range")
            if content_range != f"bytes {start}-{end - 1}/{size}":
                yield f"Range: {asked}: Content-Range is {content_range!r}"
            if answer.body != body[start:end]:
                yield f"Range: {asked} has other bytes ({len(answer.body)} of {count})"
            if answer.header("content-length") != str(len(answer.body)):
                yield f"Range: {asked}: Content-Length is not the body's"
        beyond = site.fetch(url, headers={"Range": f"bytes={size}-"})
        if beyond.status != 416:
            yield f"a range beyond the end answers {beyond.told}, not 416"

    return judge(faults(), f"{len(wanted)} ranges of {found.address.name}")


def _cors(site: Site) -> Verdict:
    """69."""

    def faults() -> Iterator[str]:
        for name, answer in _cors_answers(site):
            if answer.status and answer.header("access-control-allow-origin") not in (
                "*",
                ORIGIN["Origin"],
            ):
                yield f"{name} ({answer.status}) lacks Access-Control-Allow-Origin"
            exposed = answer.header("access-control-expose-headers").lower()
            missing = [header for header in _EXPOSED if header not in exposed]
            if answer.status in (200, 206) and missing and exposed != "*":
                yield f"{name} does not expose {', '.join(missing)}"
        yield from _preflight(site)

    return judge(faults(), "on 200, 206, errors and OPTIONS")


def _cors_answers(site: Site) -> Iterator[tuple[str, Answer]]:
    yield "the first playlist", site.fetch(site.observation.url, headers=ORIGIN)
    yield "a media playlist", site.ask()
    yield "a missing file", site.fetch(site.unknown_url(), headers=ORIGIN)
    yield "a missing playlist", site.fetch(site.unknown_url() + ".m3u8", headers=ORIGIN)
    if site.blocks and not site.ended:
        yield "a malformed request", site.ask({"part": 0})
    for kind in ("init", "segment", "part"):
        found = site.newest(kind)
        if found is not None:
            url = found.address.url
            yield found.address.name, site.fetch(url, headers=ORIGIN)
            ranged = {**ORIGIN, "Range": "bytes=0-9"}
            yield f"a range of {found.address.name}", site.fetch(url, headers=ranged)


def _preflight(site: Site) -> Iterator[str]:
    found = site.newest("segment")
    asked = {
        **ORIGIN,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "range",
    }
    for url in (site.rendition.url, found.address.url if found else site.observation.url):
        answer = site.fetch(url, method="OPTIONS", headers=asked)
        name = "OPTIONS of " + url.split("?")[0].rpartition("/")[2]
        if answer.status != 204:
            yield f"{name} answers {answer.told}, not 204"
            continue
        methods = answer.header("access-control-allow-methods").upper()
        if methods != "*" and not all(word in methods for word in ("GET", "HEAD")):
            yield f"{name} allows {methods or 'no method'}"
        if "range" not in answer.header("access-control-allow-headers").lower():
            yield f"{name} does not allow Range"


def _head(site: Site) -> Verdict:
    """70."""

    def faults() -> Iterator[str]:
        for kind in ("init", "segment", "part"):
            found = site.newest(kind)
            if found is not None:
                yield from _differs(found.address.name, found.address.url, site)
        yield from _differs("the first playlist", site.observation.url, site)
        yield from _playlist_head(site)
        missing = site.fetch(site.unknown_url(), method="HEAD")
        if missing.status != 404:
            yield f"HEAD of a missing file answers {missing.told}"

    return judge(faults(), "status and headers are those of GET, at once")


def _differs(name: str, url: str, site: Site) -> Iterator[str]:
    head, get = site.fetch(url, method="HEAD"), site.fetch(url)
    if head.status != get.status:
        yield f"{name}: HEAD {head.told}, GET {get.told}"
        return
    for header in ("content-type", "content-length", "cache-control"):
        if header == "content-length" and is_multivariant(get.body):
            continue  # bit rates in it may be measured anew
        if head.header(header) != get.header(header):
            told = head.header(header) or "missing"
            yield f"{name}: {header} is {told} for HEAD, {get.header(header)} for GET"


def _playlist_head(site: Site) -> Iterator[str]:
    get, head = site.ask(), site.ask(method="HEAD")
    if head.status != get.status:
        yield f"the media playlist: HEAD {head.told}, GET {get.told}"
    if head.header("content-type") != get.header("content-type"):
        yield f"the media playlist: HEAD is {head.header('content-type') or 'of no type'}"
    # A live playlist may be another one by the time of the second question.
    told = head.header("content-length")
    if site.ended and told and told != str(len(get.body)):
        yield f"the media playlist: HEAD says {told} bytes, GET has {len(get.body)}"
    if site.blocks and not site.ended and get.status == 200:

        def ahead(playlist: Answer) -> Answer:
            msn = read_media_playlist(playlist.body).last_msn + 2
            return site.ask({"msn": msn}, method="HEAD")

        held = is_late(ahead(get), lambda: ahead(site.ask()))
        yield from (f"HEAD of a blocking reload: {text}" for text in held)


CHECKS: tuple[Check[Site], ...] = (
    must(62, _gzip),
    must(63, _failures),
    must(65, _http2),
    must(66, _range),
    must(69, _cors),
    must(70, _head),
)
