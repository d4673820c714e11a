"""Rules 29 to 31, 36, 40, 61 to 69, as far as following the stream shows them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from client.fetch import Answer
from client.observation import Observation, Reload, Rendition, Resource
from client.verdicts import Check, Late, Verdict, judge, must, not_applicable, not_seen, should

PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
_MEDIA_TYPES = {"video/mp4", "audio/mp4", "video/iso.segment", "audio/iso.segment"}
_TS_TYPES, _TEXT_TYPES = {"video/mp2t"}, {"text/vtt"}
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=(\d{1,9})")
# From request to first byte of a file that is listed; no disk or link is that slow.
_AT_ONCE_SECONDS = 1.0
# Cache-Control counts whole seconds.
_ROUNDING_SECONDS = 1


def max_age(answer: Answer) -> int | None:
    """The max-age of an answer that may be cached."""
    control = answer.header("cache-control")
    match = _MAX_AGE.search(control)
    return int(match[1]) if match and "no-store" not in control else None


def _reloads(observation: Observation) -> Iterator[tuple[Rendition, Reload]]:
    for rendition in observation.renditions:
        for reload in rendition.reloads:
            yield rendition, reload


def _second_answers(observation: Observation, kind: str) -> Iterator[tuple[Resource, Answer]]:
    for resource in observation.media.values():
        if resource.kind == kind and len(resource.answers) > 1:
            yield resource, resource.answers[1]


def _parts_stay(observation: Observation) -> Verdict:
    checked = list(_second_answers(observation, "part"))
    if not checked:
        return not_applicable("no parts")
    gone = (f"{r.address.name}: {a.told}" for r, a in checked if a.status not in (200, 206))
    return judge(gone, f"{len(checked)} parts could be fetched again")


def _segments_stay(observation: Observation) -> Verdict:
    checked = list(_second_answers(observation, "segment"))
    left = sum(
        known.last_at < rendition.snapshots[-1].at
        for rendition in observation.renditions
        for known in rendition.timeline.complete
    )
    if not checked:
        return not_seen("no segment was fetched twice")
    gone = (f"{r.address.name}: {a.told}" for r, a in checked if a.status not in (200, 206))
    return judge(gone, f"{len(checked)} segments could be fetched again; {left} had left the list")


def _listed_is_there(observation: Observation) -> Verdict:
    answers = [(resource, resource.first) for resource in observation.media.values()]
    if not answers:
        return not_seen("nothing is listed")

    def faults() -> Iterator[str]:
        for resource, answer in answers:
            if answer.status not in (200, 206):
                yield f"{resource.address.name} is listed: {answer.told}"
            elif answer.waited > _AT_ONCE_SECONDS:
                yield Late(f"{resource.address.name} took {answer.waited:.2f} s to its first byte")
        for rendition, reload in _reloads(observation):
            if reload.msn is None and reload.playlist is None:
                yield f"{rendition.name} itself: {reload.answer.told}"

    slowest = max(answer.waited for _resource, answer in answers)
    return judge(faults(), f"{len(answers)} files, the slowest after {slowest * 1000:.0f} ms")


def early_answer(reload: Reload) -> str | None:
    """Whether a 200 lacks what the request waited for."""
    playlist, msn = reload.playlist, reload.msn
    if playlist is None or msn is None or playlist.ended or playlist.has(msn, reload.part):
        return None
    wanted = f"{msn}" if reload.part is None else f"{msn}.{reload.part}"
    return f"asked for {wanted}, the answer after {reload.answer.seconds:.2f} s ends before it"


def _held(observation: Observation) -> Verdict:
    held = [(r, reload) for r, reload in _reloads(observation) if reload.msn is not None]
    if not held:
        return not_applicable("CAN-BLOCK-RELOAD is not offered")

    def faults() -> Iterator[str]:
        for rendition, reload in held:
            if text := early_answer(reload):
                yield f"{rendition.name}: {text}"
            elif reload.answer.status not in (0, 200, 503):
                place = f"{reload.msn}" + (f".{reload.part}" if reload.part is not None else "")
                yield f"{rendition.name}: asked for {place}, which comes next: {reload.answer.told}"

    return judge(faults(), f"{len(held)} held reloads had what they asked for")


def _held_too_long(observation: Observation) -> Verdict:
    held = [(r, reload) for r, reload in _reloads(observation) if reload.msn is not None]
    if not held:
        return not_applicable("CAN-BLOCK-RELOAD is not offered")
    timed_out = [reload for _, reload in held if reload.answer.status == 503]

    def faults() -> Iterator[str]:
        for rendition, reload in held:
            limit = 3 * rendition.target_duration + 1.0
            if reload.answer.seconds > limit:
                yield f"{rendition.name}: held for {reload.answer.seconds:.1f} s, 3 TD are less"
            if text := early_answer(reload):
                yield f"{rendition.name}: 200, but {text}"

    found = list(faults())
    if not found and not timed_out:
        return not_seen("no reload had to wait for 3 TD")
    return judge(found, f"{len(timed_out)} answers 503 in time")


def _types(observation: Observation) -> Verdict:
    def faults() -> Iterator[str]:
        yield from _bad_type("the first playlist", observation.first, {PLAYLIST_TYPE})
        for rendition, reload in _reloads(observation):
            if reload.playlist is not None:
                yield from _bad_type(rendition.name, reload.answer, {PLAYLIST_TYPE})
        for resource in observation.media.values():
            if resource.body is not None:
                types = _types_of(resource.body)
                yield from _bad_type(resource.address.name, resource.first, types)

    return judge(faults(), f"{PLAYLIST_TYPE}; media of the type that it is")


def _types_of(body: bytes) -> set[str]:
    """A transport stream begins with its sync byte; a box with its size."""
    if body.removeprefix(b"\xef\xbb\xbf").startswith(b"WEBVTT"):
        return _TEXT_TYPES
    return _TS_TYPES if body[:1] == b"G" else _MEDIA_TYPES


def _bad_type(name: str, answer: Answer, allowed: set[str]) -> Iterator[str]:
    kind = answer.header("content-type").split(";")[0].strip().lower()
    if kind not in allowed:
        yield f"{name} is {kind or 'of no type'}"


def _caching(observation: Observation) -> Verdict:
    """Rule 63, successful answers; failures are probed."""

    def faults() -> Iterator[str]:
        for rendition, reload in _reloads(observation):
            if reload.playlist is not None and not reload.playlist.ended:
                yield from _bad_age(rendition, reload)
        longest = max(rendition.target_duration for rendition in observation.renditions)
        for resource in observation.media.values():
            age = max_age(resource.first)
            if resource.body is not None and (age is None or age < 6 * longest):
                yield f"media are cached for {_told(age)}, 6 TD are {6 * longest} s"

    return judge(faults(), "playlists, held playlists and media may be cached as long as they hold")


def _bad_age(rendition: Rendition, reload: Reload) -> Iterator[str]:
    age, target_duration = max_age(reload.answer), rendition.target_duration
    if reload.msn is None:
        limit = max(_ROUNDING_SECONDS, target_duration / 2)
        if age is None or age > limit:
            yield f"a plain playlist is cached for {_told(age)}, 0.5 TD are {limit:.1f} s"
    elif age is None or abs(age - 6 * target_duration) > _ROUNDING_SECONDS:
        yield f"a held playlist is cached for {_told(age)}, 6 TD are {6 * target_duration} s"


def _told(age: int | None) -> str:
    return "no known time" if age is None else f"{age} s"


def _no_redirects(observation: Observation) -> Verdict:
    def faults() -> Iterator[str]:
        for rendition, reload in _reloads(observation):
            if 300 <= reload.answer.status < 400:
                yield f"{rendition.name} answers {reload.answer.status}"
        for resource in observation.media.values():
            if 300 <= resource.first.status < 400:
                yield f"{resource.address.name} answers {resource.first.status}"

    return judge(faults(), "none")


def _lengths(observation: Observation) -> Verdict:
    """Rule 66, the half about Content-Length."""

    def faults() -> Iterator[str]:
        for resource in observation.media.values():
            told = resource.first.header("content-length")
            if resource.body is not None and told and told != str(len(resource.body)):
                yield f"{resource.address.name}: Content-Length {told}, {len(resource.body)} bytes"

    return judge(faults(), "Content-Length is the body's")


CHECKS: tuple[Check[Observation], ...] = (
    should(29, _parts_stay),
    must(30, _segments_stay),
    must(31, _listed_is_there),
    must(36, _held),
    should(40, _held_too_long),
    must(61, _types),
    must(63, _caching),
    must(66, _lengths),
    must(67, _no_redirects),
)
