"""Rule 50, its I-frame playlists: that they are there, and that what they say is so."""

from __future__ import annotations

from collections.abc import Iterator

from client.fetch import resolve
from client.media import Frame, read_key_frame
from client.observation import Observation, Rendition
from client.playlists import IFrameStream, MediaPlaylist, Segment
from client.timeline import Known
from client.verdicts import Check, Verdict, judge, not_applicable, should
from encoder.codecs import is_random_access
from encoder.errors import BadBox

_ONLY = "EXT-X-I-FRAMES-ONLY"
_BYTERANGE_VERSION = 4  # of the protocol (section 8)


def _iframes(observation: Observation) -> Verdict:
    multivariant = observation.multivariant
    if multivariant is None:
        return not_applicable("the address is that of a media playlist")
    checked = 0

    def faults() -> Iterator[str]:
        nonlocal checked
        if not multivariant.iframes:
            yield "no EXT-X-I-FRAME-STREAM-INF"
        for stream in multivariant.iframes:
            url = resolve(observation.url, stream.uri)
            rendition = next((r for r in observation.iframes if r.url == url), None)
            if not stream.bandwidth:
                yield f"{stream.uri} lacks BANDWIDTH"
            if rendition is None or not rendition.playlists:
                yield f"{stream.uri or 'an I-frame playlist'} is not there"
                continue
            yield from _playlist_faults(rendition, rendition.last, stream)
            for segment in rendition.last.segments:
                yield from _differs_from_host(observation, rendition, segment)
                if _range(observation, rendition, segment) is not None:
                    checked += 1
                    yield from _range_faults(observation, rendition, segment)

    found = list(faults())
    if not found and not checked:
        found = ["no key frame could be fetched"]
    return judge(found, f"{checked} key frames are where I-frame playlists say")


def _playlist_faults(
    rendition: Rendition, playlist: MediaPlaylist, stream: IFrameStream
) -> Iterator[str]:
    name = rendition.name
    yield from (f"{name}: {fault.text}" for fault in playlist.faults)
    if _ONLY not in playlist.tags:
        yield f"{name} lacks {_ONLY}"
    if playlist.version < _BYTERANGE_VERSION:
        yield f"{name}: VERSION {playlist.version} has no byte ranges"
    if playlist.has_parts:
        yield f"{name} has parts"
    if not playlist.segments:
        yield f"{name} lists nothing"
    for segment in playlist.segments:
        length, _, _offset = segment.byterange.partition("@")
        if not segment.gap and not (segment.byterange and segment.map_uri):
            yield f"{name}: {segment.uri} has no byte range or no EXT-X-MAP"
        elif length.isdecimal() and segment.duration and stream.bandwidth:
            rate = 8 * int(length) / segment.duration
            if rate > 1.25 * stream.bandwidth:  # 48
                yield f"{name}: {float(rate):.0f} bit/s > 125 % of BANDWIDTH {stream.bandwidth}"


def _differs_from_host(
    observation: Observation, rendition: Rendition, segment: Segment
) -> Iterator[str]:
    """The same file has the same place in time in its media playlist."""
    url = resolve(rendition.url, segment.uri)
    for host in observation.renditions:
        known = host.timeline.known.get(segment.msn)
        if known is None or not known.uri or url is None:
            continue
        if host.url.rpartition("/")[0] == rendition.url.rpartition("/")[0]:
            yield from _differences(rendition.name, known, segment)


def _differences(name: str, known: Known, segment: Segment) -> Iterator[str]:
    if known.uri != segment.uri:
        yield f"{name}: msn {segment.msn} is {segment.uri}, in the media playlist {known.uri}"
    elif segment.wall is not None and known.has_own_wall and segment.wall != known.wall:
        yield f"{name}: msn {segment.msn} has another PROGRAM-DATE-TIME than in the media playlist"
    elif segment.duration != known.duration:
        yield f"{name}: msn {segment.msn} has another EXTINF than in the media playlist"
    elif segment.discontinuity != known.discontinuity:
        yield f"{name}: msn {segment.msn} has another EXT-X-DISCONTINUITY"


def _range(observation: Observation, rendition: Rendition, segment: Segment) -> bytes | None:
    found = observation.resource(rendition, segment.uri, segment.byterange)
    return found.body if found and segment.byterange else None


def _range_faults(
    observation: Observation, rendition: Rendition, segment: Segment
) -> Iterator[str]:
    where = f"{rendition.name}: {segment.uri} {segment.byterange}"
    init = observation.resource(rendition, segment.map_uri or "", segment.map_byterange)
    if init is None or isinstance(init.init, str):
        yield f"{where}: its init segment cannot be read"
        return
    try:
        frame, behind = read_key_frame(_range(observation, rendition, segment) or b"", init.init)
    except BadBox as error:
        yield f"{where}: {error}"
        return
    yield from (f"{where} {fault}" for fault in _frame_faults(frame, behind, init.init.entry))


def _frame_faults(frame: Frame, behind: int, entry: str) -> Iterator[str]:
    if not frame.is_sync or not is_random_access(entry, frame.data):
        yield "is no key frame"
    if behind:
        yield f"has {behind} bytes more than its key frame"


CHECKS: tuple[Check[Observation], ...] = (should(50, _iframes),)
