"""Subtitle renditions of WebVTT: rule 60, and what 5 and 27 ask of them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

from client.fetch import resolve
from client.observation import Observation, Rendition
from client.rules.time import offsets
from client.timeline import Known
from client.verdicts import Check, Verdict, judge, must, not_applicable, not_seen
from client.webvtt import WebVtt, read_webvtt

_NONE = "no rendition of WebVTT"
# Dates are whole milliseconds, durations have five digits.
_DATE_TOLERANCE = Fraction(15, 10_000)
# A cue that reaches so little into the next segment may have been cut there.
_CUT_SECONDS = Fraction(3, 10)


def texts(observation: Observation) -> list[Rendition]:
    """Renditions of WebVTT files; those of text in fMP4 are judged as fMP4."""
    media = observation.multivariant.media if observation.multivariant else ()
    named = {resolve(observation.url, m.uri) for m in media if m.kind == "SUBTITLES" and m.uri}
    return [r for r in observation.renditions if (r.url in named or _is_vtt(r)) and not _mapped(r)]


def _is_vtt(rendition: Rendition) -> bool:
    uris = [known.uri.split("?")[0] for known in rendition.timeline.complete]
    return bool(uris) and all(uri.endswith((".vtt", ".webvtt")) for uri in uris)


def _mapped(rendition: Rendition) -> bool:
    return any(known.map_uri for known in rendition.timeline.segments)


def _file(observation: Observation, rendition: Rendition, uri: str) -> WebVtt | None:
    found = observation.resource(rendition, uri) if uri else None
    return read_webvtt(found.body) if found and found.body is not None else None


def _files(
    observation: Observation, rendition: Rendition
) -> Iterator[tuple[str, Fraction | None, Fraction, WebVtt, Known]]:
    """Each fetched file: its name, date and length."""
    for known in rendition.timeline.segments:
        whole = _file(observation, rendition, known.uri)
        if whole:
            yield f"msn {known.msn}", known.wall, known.duration, whole, known
        at = known.wall
        for index, part in enumerate(known.parts):
            found = _file(observation, rendition, part.uri)
            if found:
                yield f"part {known.msn}.{index}", at, part.duration, found, known
            at = at + part.duration if at is not None else None


def _valid(observation: Observation) -> Verdict:
    renditions = texts(observation)
    if not renditions:
        return not_applicable(_NONE)
    files = cues = 0

    def faults() -> Iterator[str]:
        nonlocal files, cues
        media_zero = _media_zeros(observation)
        for rendition in renditions:
            for name, date, length, found, known in _files(observation, rendition):
                files, cues = files + 1, cues + len(found.cues)
                yield from (f"{rendition.name}: {name}: {fault}" for fault in found.faults)
                zero = media_zero.get(known.discontinuity_number)
                if date is None or zero is None:
                    continue
                begin, far = date - zero, rendition.target_duration
                for cue in found.cues:
                    if cue.end < begin - far or cue.start > begin + length + far:
                        shown, here = float(cue.start), float(begin)
                        yield f"{rendition.name}: {name} is at {here:.3f} s, its cue at {shown:.3f}"

    found = list(faults())
    if not files:
        return not_seen("no file of WebVTT was fetched")
    return judge(found, f"{files} files of WebVTT, {cues} cues where they are said to be")


def _media_zeros(observation: Observation) -> dict[int, Fraction]:
    """Dates of media time 0, by discontinuity number, as the other renditions tell."""
    found: dict[int, Fraction] = {}
    for rendition in observation.renditions:
        for number, entries in offsets(observation, rendition).items():
            found.setdefault(number, entries[0][1])
    return found


def _repeated(observation: Observation) -> Verdict:
    """A segment has all cues that are shown while it is played (§3.1.4)."""
    renditions = texts(observation)
    if not renditions:
        return not_applicable(_NONE)
    spans = 0

    def faults() -> Iterator[str]:
        nonlocal spans
        media_zero = _media_zeros(observation)
        for rendition in renditions:
            for before, after in pairwise(rendition.timeline.complete):
                zero = media_zero.get(after.discontinuity_number)
                files = [_file(observation, rendition, each.uri) for each in (before, after)]
                is_next = after.msn == before.msn + 1 and not after.discontinuity
                if not is_next or zero is None or after.wall is None or None in files:
                    continue
                known, following = (_shown(found) for found in files if found)
                for cue, end in known.items():
                    if end > after.wall - zero + _CUT_SECONDS:
                        spans += 1
                        if cue not in following:
                            text = cue[1][:40]
                            yield f"{rendition.name}: {text!r} is missing in msn {after.msn}"

    found = list(faults())
    if not spans:
        return not_seen("no cue spans two segments")
    return judge(found, f"{spans} cues that span two segments stand in both")


def _shown(found: WebVtt) -> dict[tuple[Fraction, str], Fraction]:
    """When each cue ends. A cue that was cut short since has another end elsewhere."""
    return {(cue.start, cue.text): cue.end for cue in found.cues}


def _same_cues(observation: Observation) -> Verdict:
    """27: parts carry what their segment carries."""
    renditions = [each for each in texts(observation) if each.has_parts]
    if not renditions:
        return not_applicable(_NONE)
    checked = 0

    def faults() -> Iterator[str]:
        nonlocal checked
        for rendition in renditions:
            for known in rendition.timeline.complete:
                whole = _file(observation, rendition, known.uri)
                parts = [_file(observation, rendition, part.uri) for part in known.parts]
                if whole is None or not parts or None in parts:
                    continue
                checked += 1
                pieces = {cue for part in parts if part for cue in _shown(part)}
                for cue in pieces ^ _shown(whole).keys():
                    where = "its parts" if cue not in pieces else "the segment"
                    yield f"{rendition.name}: {cue[1][:40]!r} of msn {known.msn} lacks in {where}"

    found = list(faults())
    if not checked:
        return not_seen("no segment was fetched whole and in parts")
    return judge(found, f"parts of {checked} segments carry the segment's cues")


def _lengths(observation: Observation) -> Verdict:
    """5: text has no duration of its own; its dates tell."""
    renditions = texts(observation)
    if not renditions:
        return not_applicable(_NONE)

    def faults() -> Iterator[str]:
        for rendition in renditions:
            for before, after in pairwise(rendition.timeline.complete):
                if after.msn != before.msn + 1 or after.discontinuity or not after.has_own_wall:
                    continue
                if before.wall is None or after.wall is None:
                    continue
                apart = after.wall - before.wall - before.duration
                if abs(apart) > _DATE_TOLERANCE:
                    late = float(apart) * 1000
                    yield f"{rendition.name}: msn {after.msn} is {late:+.1f} ms from its place"

    return judge(faults(), "EXTINF of WebVTT is what its dates say")


CHECKS: tuple[Check[Observation], ...] = (
    must(5, _lengths),
    must(27, _same_cues),
    must(60, _valid),
    must(60, _repeated),
)
