"""Rules 1 to 12: what a playlist is, and how it may change."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

from client.media import seconds
from client.observation import Observation, Rendition
from client.playlists import REMOVED_DATERANGES, MediaPlaylist
from client.verdicts import Check, Verdict, judge, must, not_applicable, not_seen, should

_FEWEST_SEGMENTS = 6
_LONG_WINDOW_SECONDS = 15 * 60
# EXTINF is written with five or six digits; a sum of rounded values is off by that each.
_ROUNDING = Fraction(1, 100_000)


def faults_of(observation: Observation, *rules: int) -> Iterator[str]:
    """What the parser noted for some rules, with the playlist's name."""
    if observation.multivariant:
        for fault in observation.multivariant.faults:
            if fault.rule in rules:
                yield f"multivariant playlist, {fault}"
    for rendition in observation.renditions:
        for playlist in rendition.playlists:
            for fault in playlist.faults:
                if fault.rule in rules:
                    yield f"{rendition.name}, {fault}"


def _count(observation: Observation) -> str:
    total = sum(len(rendition.playlists) for rendition in observation.renditions)
    return f"{total} playlists of {len(observation.renditions)} renditions"


def _syntax(observation: Observation) -> Verdict:
    return judge(faults_of(observation, 1), f"{_count(observation)} parsed without a fault")


def _once(observation: Observation) -> Verdict:
    return judge(faults_of(observation, 2), f"no tag twice in {_count(observation)}")


def needed_version(playlist: MediaPlaylist) -> int:
    """The protocol version its tags ask for (§8)."""
    if "EXT-X-SKIP" in playlist.tags:
        return 10 if REMOVED_DATERANGES in playlist.tags else 9
    if "EXT-X-MAP" in playlist.tags:
        return 6
    if "EXT-X-BYTERANGE" in playlist.tags:
        return 4
    return 3


def _version(observation: Observation) -> Verdict:
    def faults() -> Iterator[str]:
        for rendition in observation.renditions:
            for playlist in rendition.playlists:
                needed = needed_version(playlist)
                if playlist.version < needed:
                    yield f"{rendition.name}: VERSION {playlist.version}, its tags need {needed}"

    return judge(faults(), f"VERSION {observation.renditions[0].last.version}")


def _version_not_too_high(observation: Observation) -> Verdict:
    def faults() -> Iterator[str]:
        highest = 1
        for rendition in observation.renditions:
            for playlist in rendition.playlists:
                control = playlist.control
                # One number for full playlists and deltas is common and harms nobody.
                delta = 10 if control.can_skip_dateranges else 9 if control.can_skip_until else 0
                allowed = max(needed_version(playlist), delta)
                highest = max(highest, allowed)
                if playlist.version > allowed:
                    yield f"{rendition.name}: VERSION {playlist.version}, {allowed} would do"
        if observation.multivariant and observation.multivariant.version > highest:
            yield f"multivariant playlist: VERSION {observation.multivariant.version}"

    return judge(faults(), "no higher than the tags need")


def _target_duration(observation: Observation) -> Verdict:
    def faults() -> Iterator[str]:
        yield from faults_of(observation, 4)
        for rendition in observation.renditions:
            told = dict.fromkeys(playlist.target_duration for playlist in rendition.playlists)
            if len(told) > 1:
                yield f"{rendition.name}: TARGETDURATION changed: {', '.join(map(str, told))}"
            for playlist in rendition.playlists:
                limit = (playlist.target_duration or 0) + Fraction(1, 2)
                for segment in playlist.segments:
                    if segment.duration >= limit:
                        length = float(segment.duration)
                        yield f"{rendition.name}: msn {segment.msn} lasts {length:.3f} s"

    told = ", ".join(f"{r.name} {r.target_duration} s" for r in observation.renditions)
    return judge(faults(), told)


def _durations(observation: Observation) -> Verdict:
    checked = 0

    def faults() -> Iterator[str]:
        nonlocal checked
        frame = _video_frame(observation)
        for rendition in observation.renditions:
            drift = low = high = Fraction()
            for known in rendition.timeline.complete:
                frames = observation.segment_frames(rendition, known)
                init = observation.init_of(rendition, known)
                if frames is None or init is None:
                    drift = low = high = Fraction()  # a run has no holes
                    continue
                checked += 1
                drift += known.duration - seconds(frames, init.timescale_hz)
                low, high = min(low, drift), max(high, drift)
                if high - low > frame + checked * _ROUNDING:
                    off = float(high - low)
                    yield f"{rendition.name}: EXTINF and media differ by {off:.3f} s at {known.uri}"
                    break

    found = list(faults())
    if not checked:
        return not_seen("no segment could be read")
    return judge(found, f"EXTINF of {checked} segments is their media")


def _video_frame(observation: Observation) -> Fraction:
    for rendition in observation.renditions:
        if observation.is_video(rendition):
            for known in rendition.timeline.complete:
                frames = observation.segment_frames(rendition, known)
                init = observation.init_of(rendition, known)
                if frames and init:
                    return seconds(frames, init.timescale_hz) / len(frames)
    return Fraction(1, 25)


def _media_sequence(observation: Observation) -> Verdict:
    removed = 0

    def faults() -> Iterator[str]:
        nonlocal removed
        for rendition in observation.renditions:
            for before, after in pairwise(rendition.playlists):
                moved = after.media_sequence - before.media_sequence
                if moved < 0:
                    yield f"{rendition.name}: MEDIA-SEQUENCE fell from {before.media_sequence}"
                    continue
                gone = _removed(before, after)
                if gone is not None and gone != moved:
                    yield f"{rendition.name}: {gone} segments removed, MEDIA-SEQUENCE +{moved}"
                removed += max(0, gone or 0)

    found = list(faults())
    if not found and not removed:
        return not_seen("no segment was removed, MEDIA-SEQUENCE did not fall")
    return judge(found, f"rose by {removed}, for {removed} segments removed")


def _removed(before: MediaPlaylist, after: MediaPlaylist) -> int | None:
    """How many segments left, judged by URIs; None if the playlists share none."""
    if not after.segments or not before.segments or after.skipped:
        return None
    uris = [segment.uri for segment in before.segments]
    if after.segments[0].uri in uris:
        return uris.index(after.segments[0].uri)
    if uris[0] in [segment.uri for segment in after.segments]:
        return -1  # older segments came back
    return None


def _window(observation: Observation) -> Verdict:
    def faults() -> Iterator[str]:
        for rendition in observation.renditions:
            for playlist in _after_removals(rendition):
                if playlist.seconds < 3 * rendition.target_duration:
                    yield (
                        f"{rendition.name}: {float(playlist.seconds):.2f} s are listed at msn "
                        f"{playlist.media_sequence}, 3 TD are {3 * rendition.target_duration}"
                    )
                if len(playlist.segments) < _FEWEST_SEGMENTS:
                    count = len(playlist.segments)
                    yield f"{rendition.name}: {count} segments at msn {playlist.media_sequence}"
            yield from _out_of_order(rendition)

    if not any(_after_removals(rendition) for rendition in observation.renditions):
        return not_seen("the stream is young: nothing has been removed yet")
    shortest = min(float(p.seconds) for r in observation.renditions for p in _after_removals(r))
    return judge(faults(), f"at least {shortest:.2f} s listed")


def _after_removals(rendition: Rendition) -> list[MediaPlaylist]:
    """Playlists from which something has been removed; a young stream may be short.

    What a stream's first number was nobody tells: ours is the clock's.
    """
    first = min((p.media_sequence for p in rendition.playlists), default=0)
    return [p for p in rendition.playlists if p.media_sequence > first and not p.ended]


def _out_of_order(rendition: Rendition) -> Iterator[str]:
    """Parts leave oldest first: no segment without parts stands behind one with parts."""
    for playlist in rendition.playlists:
        if not playlist.has_parts:
            continue
        listed = [bool(segment.parts) for segment in playlist.segments]
        if any(older and not newer for older, newer in pairwise(listed)):
            yield f"{rendition.name}: parts of an older segment outlived those of a newer one"


def _long_window(observation: Observation) -> Verdict:
    longest = min(
        max(float(playlist.seconds) for playlist in rendition.playlists)
        for rendition in observation.renditions
    )
    short = [f"{longest:.0f} s are listed, 15 minutes are 900"]
    return judge(short if longest < _LONG_WINDOW_SECONDS else [], f"{longest:.0f} s are listed")


def _append_only(observation: Observation) -> Verdict:
    twice = 0

    def faults() -> Iterator[str]:
        nonlocal twice
        for rendition in observation.renditions:
            for rule, text in rendition.timeline.clashes:
                if rule == 8:
                    yield f"{rendition.name}: {text}"
            if rendition.last.ended != any(p.ended for p in rendition.playlists):
                yield f"{rendition.name}: EXT-X-ENDLIST went away again"
        for resource in observation.media.values():
            bodies = [a.body for a in resource.answers if a.status in (200, 206)]
            twice += len(bodies) > 1
            if any(body != bodies[0] for body in bodies[1:]):
                sizes = " then ".join(str(len(body)) for body in bodies)
                yield f"{resource.address.name} had other bytes the second time ({sizes} bytes)"

    found = list(faults())
    return judge(found, f"{_count(observation)} agree; {twice} files fetched twice are equal")


def _type_and_end(observation: Observation) -> Verdict:
    def faults() -> Iterator[str]:
        for rendition in observation.renditions:
            for playlist in rendition.playlists:
                if playlist.playlist_type and not playlist.ended:
                    yield f"{rendition.name}: EXT-X-PLAYLIST-TYPE:{playlist.playlist_type}"
                if playlist.ended and playlist.hints:
                    yield f"{rendition.name}: EXT-X-PRELOAD-HINT together with EXT-X-ENDLIST"

    return judge(faults(), "no type" + (", no hint behind the end" if observation.ended else ""))


def _under_a_map(observation: Observation) -> Verdict:
    checked = 0

    def faults() -> Iterator[str]:
        nonlocal checked
        yield from faults_of(observation, 10)
        for rendition in observation.renditions:
            for known in rendition.timeline.segments:
                checked += 1
                if known.map_uri is None and _is_fmp4(observation, rendition, known.uri):
                    yield f"{rendition.name}: msn {known.msn} is under no EXT-X-MAP"

    found = list(faults())
    return judge(found, f"{checked} segments are under an EXT-X-MAP")


def _is_fmp4(observation: Observation, rendition: Rendition, uri: str) -> bool:
    found = observation.resource(rendition, uri) if uri else None
    if not uri:  # in progress: as those before it
        before = rendition.timeline.complete[-1:]
        return any(_is_fmp4(observation, rendition, known.uri) for known in before)
    if found is None or found.body is None:
        return not uri.split("?")[0].endswith((".ts", ".aac", ".mp3", ".vtt"))
    return found.body[4:8] in (b"moof", b"styp", b"sidx", b"emsg", b"prft")


def _independent(observation: Observation) -> Verdict:
    if observation.multivariant is None:
        return not_applicable("the address is that of a media playlist")
    missing = ["the multivariant playlist lacks EXT-X-INDEPENDENT-SEGMENTS"]
    return judge([] if observation.multivariant.independent else missing, "it is there")


def _atomic(observation: Observation) -> Verdict:
    def faults() -> Iterator[str]:
        yield from faults_of(observation, 12)
        for rendition in observation.renditions:
            for reload in rendition.reloads:
                answer = reload.answer
                if not answer.status:
                    yield f"{rendition.name}: a reload broke: {answer.error}"
                elif answer.status == 200 and not answer.body.endswith((b"\n", b"\r")):
                    yield f"{rendition.name}: a body ends in mid-line: {answer.body[-30:]!r}"
                elif reload.playlist and not reload.playlist.every:
                    yield f"{rendition.name}: a body of {len(answer.body)} bytes lists nothing"

    return judge(faults(), f"{_count(observation)} were whole")


CHECKS: tuple[Check[Observation], ...] = (
    must(1, _syntax),
    must(2, _once),
    must(3, _version),
    should(3, _version_not_too_high),
    must(4, _target_duration),
    must(5, _durations),
    must(6, _media_sequence),
    must(7, _window),
    should(7, _long_window),
    must(8, _append_only),
    must(9, _type_and_end),
    must(10, _under_a_map),
    should(11, _independent),
    must(12, _atomic),
)
