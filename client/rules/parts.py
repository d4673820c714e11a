"""Rules 21 to 34: parts and server control."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

from client.media import Frame, seconds
from client.observation import Observation, Rendition
from client.playlists import MediaPlaylist
from client.rules.fmp4 import RANDOM_ACCESS_KNOWN
from client.timeline import Known
from client.verdicts import Check, Verdict, judge, must, not_applicable, not_seen, should
from encoder.codecs import is_random_access

_SHORTEST_SHARE = Fraction(85, 100)
_NO_PARTS = "no parts: the stream is plain HLS"
# Durations are written with five digits.
_ROUNDING = Fraction(1, 100_000)
_FEWEST_ROUND_TRIPS = 5


def _tags(observation: Observation) -> Verdict:
    if not observation.low_latency:
        return not_applicable(_NO_PARTS)

    def faults() -> Iterator[str]:
        for rendition in observation.low_latency:
            for playlist in rendition.playlists:
                if playlist.has_parts and "EXT-X-PART-INF" not in playlist.tags:
                    yield f"{rendition.name}: EXT-X-PART without EXT-X-PART-INF"
                elif playlist.has_parts and not playlist.part_target:
                    yield f"{rendition.name}: EXT-X-PART-INF without a PART-TARGET"
                if playlist.has_parts and playlist.control.part_hold_back is None:
                    yield f"{rendition.name}: EXT-X-PART without PART-HOLD-BACK"

    return judge(faults(), "PART-INF and PART-HOLD-BACK are there")


def _parts(observation: Observation) -> Iterator[tuple[Rendition, Known, int]]:
    for rendition in observation.low_latency:
        for known in rendition.timeline.segments:
            for index in range(len(known.parts)):
                yield rendition, known, index


def _not_too_long(observation: Observation) -> Verdict:
    if not observation.low_latency:
        return not_applicable(_NO_PARTS)
    longest = Fraction()

    def faults() -> Iterator[str]:
        nonlocal longest
        for rendition, known, index in _parts(observation):
            target = rendition.part_target
            told = known.parts[index].duration
            longest = max(longest, told)
            if target is None:
                continue
            if told > target:
                limit = float(target)
                yield f"{rendition.name}: part {known.msn}.{index} says {float(told)} s > {limit}"
            frames = observation.part_frames(rendition, known, index)
            init = observation.init_of(rendition, known)
            if frames and init:
                media = seconds(frames, init.timescale_hz)
                if media > target + _ROUNDING:
                    length = float(media)
                    yield f"{rendition.name}: part {known.msn}.{index} holds {length:.4f} s"

    found = list(faults())
    return judge(found, f"the longest is {float(longest):.4f} s")


def _not_too_short(observation: Observation) -> Verdict:
    if not observation.low_latency:
        return not_applicable(_NO_PARTS)

    def faults() -> Iterator[str]:
        for rendition, known, index in _parts(observation):
            target, part = rendition.part_target, known.parts[index]
            followed = known.parts[index + 1] if index + 1 < len(known.parts) else None
            if target is None or followed is None:  # the last of its segment, or not known yet
                continue
            exempt = part.independent or part.gap or followed.gap
            if part.duration < _SHORTEST_SHARE * target - _ROUNDING and not exempt:
                name, length = f"part {known.msn}.{index}", float(part.duration)
                yield f"{rendition.name}: {name} lasts {length} s, < 85 % of {float(target)}"

    return judge(faults(), "only last parts of segments are shorter")


def _constants(playlist: MediaPlaylist) -> dict[str, Fraction | bool | None]:
    control = playlist.control
    return {
        "PART-TARGET": playlist.part_target,
        "PART-HOLD-BACK": control.part_hold_back,
        "HOLD-BACK": control.hold_back,
        "CAN-SKIP-UNTIL": control.can_skip_until,
        "CAN-BLOCK-RELOAD": control.can_block_reload,
    }


def _never_changes(observation: Observation) -> Verdict:
    def faults() -> Iterator[str]:
        for rendition in observation.renditions:
            first = _constants(rendition.playlists[0])
            for playlist in rendition.playlists[1:]:
                for name, value in _constants(playlist).items():
                    if value != first[name]:
                        yield f"{rendition.name}: {name} was {_plain(first[name])}, then " + (
                            _plain(value)
                        )

    return judge(faults(), "server control is the same in all playlists over time")


def _same_everywhere(observation: Observation) -> Verdict:
    if len(observation.renditions) < 2:
        return not_applicable("there is one media playlist")

    def faults() -> Iterator[str]:
        first = observation.renditions[0]
        for rendition in observation.renditions[1:]:
            values = _constants(rendition.playlists[0])
            for name, value in _constants(first.playlists[0]).items():
                if values[name] != value:
                    yield f"{name}: {first.name} {_plain(value)}, {rendition.name} " + (
                        _plain(values[name])
                    )
            if rendition.target_duration != first.target_duration:
                yield f"TARGETDURATION differs: {first.name} and {rendition.name}"

    return judge(faults(), f"the same in {len(observation.renditions)} renditions")


def _plain(value: Fraction | bool | None) -> str:
    return str(float(value)) if isinstance(value, Fraction) else str(value)


def _hold_backs(observation: Observation) -> Verdict:
    def faults() -> Iterator[str]:
        for rendition in observation.renditions:
            playlist = rendition.playlists[0]
            control, target_duration = playlist.control, rendition.target_duration
            part_target = rendition.part_target
            for name, value, least in (
                ("PART-HOLD-BACK", control.part_hold_back, 3 * part_target if part_target else 0),
                ("HOLD-BACK", control.hold_back, Fraction(3 * target_duration)),
                ("CAN-SKIP-UNTIL", control.can_skip_until, Fraction(6 * target_duration)),
            ):
                if value is not None and value < least:
                    yield f"{rendition.name}: {name} {float(value)} < {float(least)}"

    if not any(playlist.has_control for r in observation.renditions for playlist in r.playlists):
        return not_applicable("no EXT-X-SERVER-CONTROL")
    control = observation.renditions[0].playlists[0].control
    told = f"PART-HOLD-BACK {_plain(control.part_hold_back)}, HOLD-BACK {_plain(control.hold_back)}"
    return judge(faults(), told)


def _round_trip(observation: Observation) -> Verdict:
    targets = [r.part_target for r in observation.renditions if r.part_target]
    if not targets:
        return not_applicable(_NO_PARTS)
    trips = sorted(
        resource.first.seconds
        for resource in observation.media.values()
        if resource.first.status == 200
    )
    if len(trips) < _FEWEST_ROUND_TRIPS:
        return not_seen("too few requests to judge the round trip")
    slow = trips[int(len(trips) * 0.95)]
    told = f"95 % of {len(trips)} requests from here took at most {slow * 1000:.0f} ms"
    return judge([told] if slow > min(targets) else [], told)


def _same_samples(observation: Observation) -> Verdict:
    if not observation.low_latency:
        return not_applicable(_NO_PARTS)
    checked = 0

    def faults() -> Iterator[str]:
        nonlocal checked
        for rendition in observation.low_latency:
            for known in rendition.timeline.complete:
                whole = observation.segment_frames(rendition, known)
                pieces = _joined(observation, rendition, known)
                if whole is None or pieces is None:
                    continue
                checked += 1
                if pieces != whole:
                    yield f"{rendition.name}: {_difference(known, whole, pieces)}"

    found = list(faults())
    if not checked:
        return not_seen("no segment was fetched whole and in parts")
    return judge(found, f"parts of {checked} segments carry the segment's samples")


def _joined(
    observation: Observation, rendition: Rendition, known: Known
) -> tuple[Frame, ...] | None:
    """Samples of all parts, or None where one is missing or the segment lists none."""
    frames: list[Frame] = []
    for index in range(len(known.parts)):
        part = observation.part_frames(rendition, known, index)
        if part is None:
            return None
        frames += part
    return tuple(frames) if frames else None


def _difference(known: Known, whole: tuple[Frame, ...], pieces: tuple[Frame, ...]) -> str:
    if len(whole) != len(pieces):
        return f"msn {known.msn} has {len(whole)} samples, its parts {len(pieces)}"
    at = next(n for n, (a, b) in enumerate(zip(whole, pieces, strict=True)) if a != b)
    same_time = whole[at].dts_ticks == pieces[at].dts_ticks
    what = "other bytes or flags" if same_time else "another time"
    return f"sample {at} of msn {known.msn} has {what} in its part"


def _independent(observation: Observation) -> Verdict:
    if not observation.low_latency:
        return not_applicable(_NO_PARTS)
    checked = 0

    def faults() -> Iterator[str]:
        nonlocal checked
        for rendition, known, index in _parts(observation):
            frames = observation.part_frames(rendition, known, index)
            init = observation.init_of(rendition, known)
            if not frames or init is None or init.entry not in RANDOM_ACCESS_KNOWN:
                continue
            checked += 1
            part, name = known.parts[index], f"{rendition.name}: part {known.msn}.{index}"
            begins = is_random_access(init.entry, frames[0].data)
            if begins and not part.independent:
                yield f"{name} starts with an IDR, but lacks INDEPENDENT=YES"
            if part.independent and not any(
                is_random_access(init.entry, frame.data) for frame in frames
            ):
                yield f"{name} says INDEPENDENT=YES, but holds no IDR"

    found = list(faults())
    if not checked:
        return not_seen("no AVC, HEVC or AV1 part was read")
    return judge(found, f"{checked} parts say truly whether they start with an IDR")


def _dropped(observation: Observation) -> Verdict:
    if not observation.low_latency:
        return not_applicable(_NO_PARTS)

    def faults() -> Iterator[str]:
        for rendition in observation.low_latency:
            for playlist in rendition.playlists:
                behind = (
                    sum((p.duration for p in playlist.open.parts), Fraction())
                    if (playlist.open)
                    else Fraction()
                )
                for segment in reversed(playlist.segments):
                    if segment.parts and behind > 3 * rendition.target_duration:
                        far = float(behind)
                        yield f"{rendition.name}: parts of a segment {far:.1f} s from the end"
                        break
                    behind += segment.duration

    return judge(faults(), "parts are listed up to 3 TD from the end")


def _hints(observation: Observation) -> Verdict:
    if not observation.low_latency:
        return not_applicable(_NO_PARTS)
    kept = 0

    def faults() -> Iterator[str]:
        nonlocal kept
        for rendition in observation.low_latency:
            for playlist in rendition.playlists:
                hints = [hint for hint in playlist.hints if hint.kind == "PART"]
                if not playlist.ended and len(hints) != 1:
                    yield f"{rendition.name}: {len(hints)} hints of TYPE=PART, not 1"
                elif hints and (became := _next_part(rendition, playlist)):
                    kept += 1
                    if became != hints[0].uri:
                        yield f"{rendition.name}: hinted {hints[0].uri}, it became {became}"

    found = list(faults())
    return judge(found, f"{kept} hints became the next part")


def _next_part(rendition: Rendition, playlist: MediaPlaylist) -> str | None:
    """URI of the part that came behind those of a playlist, if it was seen."""
    if playlist.open is not None:
        msn, index = playlist.open.msn, len(playlist.open.parts)
    else:
        msn, index = playlist.last_msn + 1, 0
    known = rendition.timeline.known.get(msn)
    if known is None:
        return None
    if index < len(known.parts):
        return known.parts[index].uri
    if not known.uri:
        return None
    follower = rendition.timeline.known.get(msn + 1)
    return follower.parts[0].uri if follower and follower.parts else None


def _hinted_map(observation: Observation) -> Verdict:
    if not observation.low_latency:
        return not_applicable(_NO_PARTS)
    changes = 0

    def faults() -> Iterator[str]:
        nonlocal changes
        for rendition in observation.low_latency:
            hinted = {h.uri for p in rendition.playlists for h in p.hints if h.kind == "MAP"}
            for before, after in pairwise(rendition.timeline.segments):
                if after.was_followed and after.map_uri not in (None, before.map_uri):
                    changes += 1
                    if after.map_uri not in hinted:
                        yield f"{rendition.name}: {after.map_uri} came without a hint of TYPE=MAP"

    found = list(faults())
    if not changes:
        return not_seen("the init segment did not change")
    return judge(found, f"{changes} new init segments were hinted")


CHECKS: tuple[Check[Observation], ...] = (
    must(21, _tags),
    must(22, _not_too_long),
    must(23, _not_too_short),
    must(24, _never_changes),
    must(25, _hold_backs),
    should(26, _round_trip),
    must(27, _same_samples),
    must(28, _independent),
    should(29, _dropped),
    must(32, _hints),
    should(34, _hinted_map),
    must(46, _same_everywhere),
)
