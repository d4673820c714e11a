"""Rules 33 to 42: delivery directives and the hinted part, tried one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

from client.fetch import Answer
from client.observation import Reload
from client.observe import next_position
from client.playlists import MediaPlaylist, Segment
from client.probes.site import Directives, Site, is_late, query
from client.reader import read_media_playlist
from client.rules.delivery import early_answer
from client.rules.playlists import needed_version
from client.verdicts import Check, Late, Verdict, judge, must, not_applicable, not_seen, should

_NO_BLOCKING = "CAN-BLOCK-RELOAD is not offered"
_ENDED = "the stream has ended"
# From the first to the last byte of one part, beside half of its duration.
_SPREAD_SECONDS = 0.1
_FAR_SEGMENTS = 10
_ROUNDING = Fraction(1, 1000)
_TRIES = 4


def _held(site: Site, msn: int, part: int | None, faults: list[str]) -> MediaPlaylist | None:
    """Ask and wait; the playlist, unless it is not what was asked for."""
    directives: Directives = {"msn": msn} if part is None else {"msn": msn, "part": part}
    answer = site.ask(directives)
    wanted = query(directives)
    if answer.status != 200:
        faults.append(f"{wanted} answers {answer.told} after {answer.seconds:.2f} s")
        return None
    playlist = read_media_playlist(answer.body)
    if text := early_answer(Reload(answer, playlist, msn, part)):
        faults.append(f"{wanted}: {text}")
        return None
    return playlist


def _blocking(site: Site) -> Verdict:
    """36: msn alone, and a part past the last one of its segment."""
    if not site.blocks:
        return not_applicable(_NO_BLOCKING)
    if site.ended:
        return not_applicable(_ENDED)
    playlist, faults = site.now(), list[str]()
    if playlist is None:
        return not_seen("the playlist did not come")
    done = ["msn alone"]
    whole = _held(site, playlist.last_msn + 1, None, faults)
    if whole and whole.segments and whole.segments[-1].parts:
        done.append("a part past the last one")
        _roll_over(site, whole, faults)
    return judge(faults, f"{' and '.join(done)} waited for what {'they' if done[1:] else 'it'} ask")


def _roll_over(site: Site, playlist: MediaPlaylist, faults: list[str]) -> None:
    """Past the last part of a segment means part 0 of the next, and no more than that."""
    parts = len(playlist.segments[-1].parts)
    msn = playlist.last_msn + 1
    # Near the end of the segment first, in steps: farther than the advance limit is refused (39).
    step = _advance_limit(playlist.part_target)
    for part in (*range(step - 1, parts - 2, step), parts - 2):
        if part > 0 and _held(site, msn, part, faults) is None:
            return
    after = _held(site, msn, parts, faults)
    if after is not None and after.last_msn > msn:
        faults.append(f"_HLS_msn={msn}&_HLS_part={parts} waited for all of msn {after.last_msn}")


def _passed(site: Site) -> Verdict:
    """37."""
    if not site.blocks:
        return not_applicable(_NO_BLOCKING)
    playlist = site.now()
    if playlist is None or not playlist.segments:
        return not_seen("the playlist did not come")
    tried = dict.fromkeys((max(0, playlist.media_sequence - 1), playlist.media_sequence))

    def faults() -> Iterator[str]:
        for msn in tried:
            both: tuple[Directives, ...] = ({"msn": msn}, {"msn": msn, "part": 0})
            for directives in both:
                answer = site.ask(directives)
                wanted = query(directives)
                if answer.status != 200:
                    yield f"{wanted} (first msn {playlist.media_sequence}): {answer.told}"
                elif read_media_playlist(answer.body).position < playlist.position:
                    yield f"{wanted}: the answer is older than the current playlist"
                yield from _held_up(site, directives, answer)

    return judge(faults(), f"msn {', '.join(map(str, tried))} answered at once")


def _refused(site: Site) -> Verdict:
    """38."""
    if not site.blocks:
        return not_applicable(_NO_BLOCKING)
    if site.ended:
        return not_applicable(_ENDED)
    msn = site.rendition.last.last_msn
    wrong: tuple[Directives, ...] = (
        {"part": 0},
        {"msn": "x"},
        {"msn": -1},
        {"msn": "1.5"},
        {"msn": msn, "part": "x"},
    )
    return judge(_not_400(site, wrong), f"{len(wrong)} malformed requests were 400")


def _too_far(site: Site) -> Verdict:
    """39."""
    if not site.blocks:
        return not_applicable(_NO_BLOCKING)
    if site.ended:
        return not_applicable(_ENDED)
    playlist = site.now()
    if playlist is None:
        return not_seen("the playlist did not come")
    wrong: list[Directives] = [{"msn": playlist.last_msn + _FAR_SEGMENTS}]
    if playlist.part_target:
        target, limit = playlist.part_target, _advance_limit(playlist.part_target)
        msn, part = playlist.last_msn + 1, len(playlist.open.parts) if playlist.open else 0
        # One segment may pass meanwhile; it has no more parts than fit into TD.
        spare = math.ceil((playlist.target_duration or 1) / target)
        wrong.append({"msn": msn, "part": part + limit + spare + 1})
    return judge(_not_400(site, wrong), f"{len(wrong)} requests too far ahead were 400 at once")


def _advance_limit(part_target: Fraction | None) -> int:
    """Parts ahead of the newest that a client may ask for (39)."""
    return math.ceil(3 / part_target) if part_target and part_target < 1 else 3


def _not_400(site: Site, wrong: Sequence[Directives]) -> Iterator[str]:
    for directives in wrong:
        answer = site.ask(directives)
        wanted = query(directives)
        if answer.status != 400:
            yield f"{wanted} answers {answer.told} after {answer.seconds:.2f} s"
        yield from _held_up(site, directives, answer)


def _held_up(site: Site, directives: Directives, answer: Answer) -> Iterator[str]:
    again = is_late(answer, lambda: site.ask(directives))
    yield from (f"{query(directives)}: {text}" for text in again)


def _after_the_end(site: Site) -> Verdict:
    """41."""
    if not site.ended:
        return not_applicable("the stream has not ended")
    tried: tuple[Directives, ...] = (
        {"msn": site.rendition.last.last_msn + 100},
        {"msn": site.rendition.last.last_msn + 1, "part": 0},
        {"part": 1},
    )

    def faults() -> Iterator[str]:
        for directives in tried:
            answer = site.ask(directives)
            wanted = query(directives)
            if answer.status != 200:
                yield f"{wanted} answers {answer.told}"
            yield from _held_up(site, directives, answer)

    return judge(faults(), "directives are ignored")


def _hinted_part(site: Site) -> Verdict:
    """33."""
    playlist = _fresh(site)
    hint = playlist.hint if playlist else None
    target = playlist.part_target if playlist else None
    if playlist is None or hint is None or target is None or not site.blocks:
        return not_applicable(_ENDED if site.ended else "no part is hinted")
    address = site.rendition.address(hint.uri)
    if address is None or hint.byterange_start is not None:
        return not_applicable("the hint is of a byte range")
    answer = site.fetch(address.url, seconds=4 * site.rendition.target_duration + 5)

    def faults() -> Iterator[str]:
        if answer.status != 200:
            yield f"{hint.uri} answers {answer.told} after {answer.seconds:.2f} s"
            return
        spread = answer.done_at - answer.first_byte_at
        if spread > max(_SPREAD_SECONDS, float(target) / 2):
            yield Late(f"{hint.uri} trickled in over {spread:.2f} s")
        if answer.body[4:8] not in (b"moof", b"styp", b"prft", b"emsg"):
            yield f"{hint.uri} begins with {answer.body[4:8]!r}"
        listed = read_media_playlist(site.ask(_after(playlist)).body)
        again = site.fetch(address.url)
        if again.body != answer.body:
            sizes = f"{len(answer.body)} bytes while it was hinted, {len(again.body)} later"
            yield f"{hint.uri} was not whole: {sizes}"
        if hint.uri not in {part.uri for segment in listed.every for part in segment.parts}:
            yield f"{hint.uri} came, but is not listed"

    return judge(faults(), f"held for {answer.seconds:.2f} s, then {len(answer.body)} bytes")


def _after(playlist: MediaPlaylist) -> Directives:
    """What waits for the part behind those of a playlist."""
    msn, part = next_position(playlist)
    return {"msn": msn or 0} if part is None else {"msn": msn or 0, "part": part}


def _fresh(site: Site) -> MediaPlaylist | None:
    """A playlist whose last part is new, so that the hinted one is a whole part away."""
    playlist = site.now()
    if playlist is None or playlist.ended or not site.blocks:
        return playlist
    answer = site.ask(_after(playlist))
    return read_media_playlist(answer.body) if answer.status == 200 else playlist


def _unknown(site: Site) -> Verdict:
    """35."""
    answer = site.fetch(site.unknown_url(), seconds=5)

    def faults() -> Iterator[str]:
        if answer.status != 404:
            yield f"a file that never was answers {answer.told}"
        yield from is_late(answer, lambda: site.fetch(site.unknown_url(), seconds=5))

    return judge(faults(), f"404 after {answer.seconds * 1000:.0f} ms")


# --- delta updates ------------------------------------------------------------------------------


def _delta(site: Site) -> Verdict:
    """42."""
    control = site.rendition.last.control
    if control.can_skip_until is None:
        return not_applicable("CAN-SKIP-UNTIL is not offered")
    if site.ended:
        return not_applicable(_ENDED)
    faults: list[str] = []
    skipped = 0
    for word in ("YES", "v2") if control.can_skip_dateranges else ("YES",):
        for _ in range(_TRIES):
            full, delta = _full_and_delta(site, word, faults)
            if full and delta and full.ending == delta.ending:
                skipped += _check_delta(full, delta, control.can_skip_until, faults)
                break
        else:
            return judge(faults, "") if faults else not_seen("it changed between all requests")
    return judge(faults, f"{skipped} segments skipped, the rest merges to the full playlist")


def _delta_version(site: Site) -> Verdict:
    """3."""
    if site.rendition.last.control.can_skip_until is None or site.ended:
        return not_applicable("CAN-SKIP-UNTIL is not offered" if not site.ended else _ENDED)
    _full, delta = _full_and_delta(site, "YES", [])
    if delta is None or "EXT-X-SKIP" not in delta.tags:
        return not_seen("a delta had nothing to skip")
    needed = needed_version(delta)
    low = [f"a delta in VERSION {delta.version}, it needs {needed}"]
    return judge(low if delta.version < needed else [], f"deltas VERSION {delta.version}")


def _full_and_delta(
    site: Site, word: str, faults: list[str]
) -> tuple[MediaPlaylist | None, MediaPlaylist | None]:
    """Both of one moment, if it lasts: held reloads, since plain answers may come from caches."""
    playlist = site.now()
    wanted = _after(playlist) if playlist and site.blocks else {}
    answers = site.ask(wanted), site.ask({**wanted, "skip": word})
    if answers[1].status != 200:
        faults.append(f"_HLS_skip={word} answers {answers[1].told}")
    full, delta = (read_media_playlist(a.body) if a.status == 200 else None for a in answers)
    return full, delta


def _check_delta(
    full: MediaPlaylist, delta: MediaPlaylist, boundary: Fraction, faults: list[str]
) -> int:
    faults += [f"delta, {fault}" for fault in delta.faults]
    length = _seconds_from(full, full.media_sequence)
    if not delta.skipped:
        oldest = full.segments[0].duration if full.segments else Fraction()
        if length - oldest > boundary:
            faults.append(f"nothing is skipped of {float(length):.1f} s")
        return 0
    near = _seconds_from(full, delta.media_sequence + delta.skipped)
    if near < boundary - _ROUNDING:
        faults.append(f"skips up to {float(near):.1f} s from the end, allowed {float(boundary)}")
    merged = _merge(full, delta)
    if [_plain(s) for s in merged] != [_plain(s) for s in full.every]:
        pairs = zip(merged, full.every, strict=False)
        odd = next((a.msn for a, b in pairs if _plain(a) != _plain(b)), len(merged))
        faults.append(f"merged with the full playlist it differs from it at msn {odd}")
    return delta.skipped


def _seconds_from(playlist: MediaPlaylist, msn: int) -> Fraction:
    """Listed duration from a segment to the end, parts of the one in progress included."""
    total = sum((s.duration for s in playlist.segments if s.msn >= msn), Fraction())
    parts = playlist.open.parts if playlist.open else ()
    return total + sum((part.duration for part in parts), Fraction())


def _merge(full: MediaPlaylist, delta: MediaPlaylist) -> list[Segment]:
    """What a client makes of a delta; EXT-X-MAP and KEY of skipped segments live on."""
    first = delta.media_sequence
    kept = [s for s in full.every if first <= s.msn < first + delta.skipped]
    merged = list(kept)
    for segment in delta.every:
        if segment.map_uri is None and merged:
            before = merged[-1]
            segment = replace(segment, map_uri=before.map_uri, map_byterange=before.map_byterange)
        merged.append(segment)
    return merged


def _plain(segment: Segment) -> Segment:
    """Without what a delta may leave to the skipped segments."""
    return replace(segment, key="")


CHECKS: tuple[Check[Site], ...] = (
    must(3, _delta_version),
    must(33, _hinted_part),
    should(35, _unknown),
    must(36, _blocking),
    must(37, _passed),
    must(38, _refused),
    should(39, _too_far),
    must(41, _after_the_end),
    must(42, _delta),
)
