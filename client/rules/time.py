"""Rules 14 to 20: wall time, media time, discontinuities, punctuality."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

from client.media import seconds
from client.observation import Observation, Rendition
from client.rules.playlists import faults_of
from client.timeline import Known
from client.verdicts import Check, Verdict, judge, late, must, not_applicable, not_seen, should

# A date is whole milliseconds; two dates that are compared may each be rounded.
_DATE_TOLERANCE = Fraction(15, 10_000)
# The same instant: audio frames do not end where pictures do.
_SAME_INSTANT = Fraction(1, 10)
# What a network and a busy machine add to an interval between two arrivals.
_JITTER_SECONDS = 0.25
# Beyond it a stream is not late, but stands: who waits for it is told so (40).
_HOLD_TD = 3


def media_start(observation: Observation, rendition: Rendition, known: Known) -> Fraction | None:
    """Media time of a segment's first sample."""
    init = observation.init_of(rendition, known)
    frames = observation.segment_frames(rendition, known) if known.uri else None
    if frames is None and known.parts:
        frames = observation.part_frames(rendition, known, 0)
    return Fraction(frames[0].dts_ticks, init.timescale_hz) if init and frames else None


def offsets(
    observation: Observation, rendition: Rendition
) -> dict[int, list[tuple[int, Fraction]]]:
    """Date minus media time of each segment, by discontinuity number."""
    found: dict[int, list[tuple[int, Fraction]]] = {}
    for known in rendition.timeline.segments:
        start = media_start(observation, rendition, known) if known.has_own_wall else None
        if start is not None and known.wall is not None:
            entry = (known.msn, known.wall - start)
            found.setdefault(known.discontinuity_number, []).append(entry)
    return found


def _dates(observation: Observation) -> Verdict:
    checked = 0

    def faults() -> Iterator[str]:
        nonlocal checked
        yield from faults_of(observation, 14)
        first: dict[int, tuple[str, Fraction]] = {}
        for rendition in observation.renditions:
            for playlist in rendition.playlists:
                if playlist.every and not any(s.wall is not None for s in playlist.every):
                    yield f"{rendition.name}: a playlist without PROGRAM-DATE-TIME"
            for number, entries in offsets(observation, rendition).items():
                name, reference = first.setdefault(number, (rendition.name, entries[0][1]))
                for msn, offset in entries:
                    checked += 1
                    if abs(offset - reference) > _DATE_TOLERANCE:
                        late = float(offset - reference) * 1000
                        yield (
                            f"{rendition.name}: date - media time of msn {msn} is {late:+.1f} ms "
                            f"from that of {name}"
                        )

    found = list(faults())
    return judge(found, f"date - media time of {checked} segments is one constant")


def _discontinuities(observation: Observation) -> Verdict:
    def faults() -> Iterator[str]:
        for rendition in observation.renditions:
            for before, after in pairwise(rendition.timeline.segments):
                # A playlist that begins anew behind a discontinuity has only its number to tell.
                if after.msn == before.msn + 1 and (
                    after.discontinuity_number == before.discontinuity_number
                ):
                    yield from _unannounced(observation, rendition, before, after)
        yield from _not_simultaneous(observation)

    count = sum(k.discontinuity for r in observation.renditions for k in r.timeline.segments)
    return judge(faults(), f"{count} discontinuities; formats and times continue elsewhere")


def _unannounced(
    observation: Observation, rendition: Rendition, before: Known, after: Known
) -> Iterator[str]:
    old, new = observation.init_of(rendition, before), observation.init_of(rendition, after)
    if old and new and (old.codecs, old.tracks) != (new.codecs, new.tracks):
        yield f"{rendition.name}: msn {after.msn} is {new.codecs}, before {old.codecs}"
        return
    frames = observation.segment_frames(rendition, before)
    start = media_start(observation, rendition, after)
    if frames is None or start is None or old is None:
        return
    end = Fraction(frames[0].dts_ticks, old.timescale_hz) + seconds(frames, old.timescale_hz)
    if abs(start - end) > Fraction(1, 10):
        jump = float(start - end)
        yield f"{rendition.name}: media time jumps {jump:+.3f} s before msn {after.msn}"


def _not_simultaneous(observation: Observation) -> Iterator[str]:
    """Where one rendition has a discontinuity the others have it too."""
    starts: dict[int, list[tuple[str, Fraction]]] = {}
    for rendition in observation.renditions:
        for known in rendition.timeline.segments:
            if known.discontinuity and known.wall is not None:
                entry = (rendition.name, known.wall)
                starts.setdefault(known.discontinuity_number, []).append(entry)
    for number, entries in starts.items():
        reference = entries[0]
        for name, wall in entries[1:]:
            if abs(wall - reference[1]) > _SAME_INSTANT:
                late = float(wall - reference[1])
                yield f"discontinuity {number} of {name} is {late:+.3f} s from {reference[0]}'s"
        missing = [r for r in observation.renditions if r.name not in dict(entries)]
        for rendition in missing:
            walls = [k.wall for k in rendition.timeline.segments if k.wall is not None]
            if walls and walls[0] < reference[1] < walls[-1]:
                yield f"{rendition.name} lacks discontinuity {number}"


def _discontinuity_sequence(observation: Observation) -> Verdict:
    def faults() -> Iterator[str]:
        for rendition in observation.renditions:
            for rule, text in rendition.timeline.clashes:
                if rule == 17:
                    yield f"{rendition.name}: {text}"
            for playlist in rendition.playlists:
                has_tag = playlist.discontinuity_sequence is not None
                has_any = any(segment.discontinuity for segment in playlist.every)
                if has_any and not has_tag and not playlist.ended:
                    yield f"{rendition.name}: a discontinuity, but no DISCONTINUITY-SEQUENCE"
            numbers = [p.discontinuity_sequence or 0 for p in rendition.playlists]
            if any(after < before for before, after in pairwise(numbers)):
                yield f"{rendition.name}: DISCONTINUITY-SEQUENCE fell"

    found = list(faults())
    seen = any(
        s.discontinuity or p.discontinuity_sequence is not None
        for r in observation.renditions
        for p in r.playlists
        for s in p.every
    )
    if not found and not seen:
        return not_seen("there was no discontinuity")
    return judge(found, "numbers stay with their segments")


def _before_parts(observation: Observation) -> Verdict:
    if not observation.low_latency:
        return not_applicable("no parts")
    return judge(faults_of(observation, 18), "tags of a segment stand before its first part")


def _gaps(observation: Observation) -> Verdict:
    def faults() -> Iterator[str]:
        for rendition in observation.renditions:
            for known in rendition.timeline.complete:
                found = observation.resource(rendition, known.uri, known.byterange)
                if found and found.first.status in (404, 410) and not known.gap:
                    yield f"{rendition.name}: msn {known.msn} is missing, but no EXT-X-GAP"

    found = list(faults())
    gaps = sum(known.gap for r in observation.renditions for known in r.timeline.complete)
    if not found and not gaps:
        return not_seen("no media was missing")
    return judge(found, f"{gaps} gaps are marked")


def _punctual(observation: Observation) -> Verdict:
    longest: list[str] = []

    def faults() -> Iterator[str]:
        for rendition in observation.renditions:
            stopped = _HOLD_TD * rendition.target_duration
            limit = 1.5 * rendition.target_duration + _JITTER_SECONDS
            interval, what = _longest_interval(rendition, parts=False)
            longest.append(f"{rendition.name} {interval:.2f} s between segments")
            if interval > limit:
                told = f"{rendition.name}: {interval:.2f} s without a new segment before {what}"
                yield late(told, interval, stopped)
            if rendition.part_target:
                limit = float(rendition.part_target)
                limit += max(limit, _JITTER_SECONDS)
                interval, what = _longest_interval(rendition, parts=True)
                longest.append(f"{interval:.2f} s between parts")
                if interval > limit:
                    told = f"{rendition.name}: {interval:.2f} s without a new part before {what}"
                    yield late(told, interval, stopped)

    found = list(faults())
    return judge(found, "at most " + ", ".join(longest))


def _longest_interval(rendition: Rendition, *, parts: bool) -> tuple[float, str]:
    """The longest wait between two things that appeared while we watched."""
    moments: list[tuple[float, str]] = []
    for known in rendition.timeline.segments:
        if parts:
            names = (f"part {known.msn}.{index}" for index in range(len(known.parts)))
            moments += zip(known.part_seen_at, names, strict=True)
        elif known.complete_at is not None:
            moments.append((known.complete_at, f"msn {known.msn}"))
    first = rendition.snapshots[0].at
    moments = [(at, name) for at, name in sorted(moments) if at >= first]
    steps = [(after - before, name) for (before, _), (after, name) in pairwise(moments)]
    return max(steps, default=(0.0, ""))


CHECKS: tuple[Check[Observation], ...] = (
    must(14, _dates),
    must(16, _discontinuities),
    must(17, _discontinuity_sequence),
    must(18, _before_parts),
    should(19, _gaps),
    must(20, _punctual),
)
