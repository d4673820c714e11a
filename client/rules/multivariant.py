"""Rules 44 to 51: how renditions belong together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from client.fetch import resolve
from client.media import Init, seconds
from client.observation import Observation, Reload, Rendition
from client.playlists import Media, Multivariant, Variant
from client.verdicts import (
    Check,
    Late,
    Verdict,
    judge,
    late,
    must,
    not_applicable,
    not_seen,
    should,
)

_NO_MULTIVARIANT = "the address is that of a media playlist"
_ONE_RENDITION = "there is one media playlist"
_FRAME_RATE = re.compile(r"\d{1,3}\.\d{3}")
_RESOLUTION = re.compile(r"(\d{1,5})x(\d{1,5})")
# Two arrivals that are compared were each delayed by network and scheduling.
_JITTER_SECONDS = 0.15
# Beyond it a rendition is not late, but stands: who waits for it is told so (40).
_HOLD_TD = 3


def _rendition(observation: Observation, uri: str | None) -> Rendition | None:
    url = resolve(observation.url, uri) if uri else None
    return next((r for r in observation.renditions if r.url == url), None)


def _media_of(multivariant: Multivariant, variant: Variant, kind: str = "AUDIO") -> list[Media]:
    return [m for m in multivariant.media if m.kind == kind and m.group_id == variant.audio]


# --- 44, 45 -------------------------------------------------------------------------------------


def _reports(observation: Observation) -> Verdict:
    if not observation.low_latency:
        return not_applicable("no parts: reports serve low latency")
    if len(observation.renditions) < 2:
        return not_applicable(_ONE_RENDITION)
    checked = 0

    def faults() -> Iterator[str]:
        nonlocal checked
        for rendition in observation.low_latency:
            others = [r for r in observation.renditions if r is not rendition]
            for snapshot in rendition.snapshots:
                playlist = snapshot.playlist
                for other in others if playlist and not playlist.ended else ():
                    checked += 1
                    yield from _bad_report(rendition, snapshot, other)

    found = list(faults())
    if not checked:
        return not_seen("all playlists had ended")
    return judge(found, f"{checked} reports are as fresh as their playlists")


def _bad_report(host: Rendition, snapshot: Reload, other: Rendition) -> Iterator[str]:
    reports = snapshot.playlist.reports if snapshot.playlist else ()
    report = next((r for r in reports if resolve(host.url, r.uri) == other.url), None)
    if report is None:
        yield f"{host.name} has no RENDITION-REPORT of {other.name}"
        return
    if "://" in report.uri:
        yield f"{host.name}: {report.uri} is not relative"
    if report.last_msn is None or (report.last_part is None and other.has_parts):
        yield f"{host.name}: the report of {other.name} lacks LAST-MSN or LAST-PART"
        return
    told = report.last_msn, report.last_part or 0
    # A plain answer may be as old as caches keep it; a held one is new.
    newest = _seen_before(other, snapshot.at - _JITTER_SECONDS)
    if snapshot.msn is not None and newest is not None and told < newest:
        places = f"{told[0]}.{told[1]}, when {newest[0]}.{newest[1]} had been published"
        yield Late(f"{host.name}: the report of {other.name} says {places}")


def _seen_before(rendition: Rendition, at: float) -> tuple[int, int] | None:
    """Newest position of a rendition that had reached us at an instant."""
    before = [s.playlist.position for s in rendition.snapshots if s.playlist and s.at <= at]
    return before[-1] if before else None


def _together(observation: Observation) -> Verdict:
    if not observation.low_latency:
        return not_applicable("no parts: the rule counts in part targets")
    if len(observation.renditions) < 2:
        return not_applicable(_ONE_RENDITION)
    worst = Fraction()

    def faults() -> Iterator[str]:
        nonlocal worst
        ends = {r.name: list(_ends(r)) for r in observation.low_latency}
        for rendition in observation.low_latency:
            for name, moments in ends.items():
                if name == rendition.name:
                    continue
                for at, end in ends[rendition.name]:
                    other = _newest(moments, at + _JITTER_SECONDS)
                    if other is None or rendition.part_target is None:
                        continue
                    behind = end[1] - other[1] if end[0] == other[0] else Fraction()
                    worst = max(worst, behind)
                    if behind > rendition.part_target * Fraction(3, 2):
                        told = f"{name} was {float(behind):.2f} s behind {rendition.name}"
                        yield late(told, float(behind), _HOLD_TD * rendition.target_duration)

    found = list(faults())
    return judge(found, f"never more than {max(0.0, float(worst)):.2f} s apart")


# Discontinuity number and wall time of a playlist's end.
_End = tuple[int, Fraction]


def _ends(rendition: Rendition) -> Iterator[tuple[float, _End]]:
    for snapshot in rendition.snapshots:
        if snapshot.playlist is not None:
            end = rendition.timeline.end_of(*snapshot.playlist.position)
            if end is not None:
                yield snapshot.at, end


def _newest(moments: list[tuple[float, _End]], at: float) -> _End | None:
    """How far a rendition was at an instant; None outside of what was watched."""
    before = [end for seen_at, end in moments if seen_at <= at]
    return before[-1] if before and at <= moments[-1][0] + _JITTER_SECONDS else None


# --- 47 to 51 -----------------------------------------------------------------------------------


def _attributes(observation: Observation) -> Verdict:
    multivariant = observation.multivariant
    if multivariant is None:
        return not_applicable(_NO_MULTIVARIANT)

    def faults() -> Iterator[str]:
        for variant in multivariant.variants:
            missing = [
                name
                for name, value in (
                    ("BANDWIDTH", variant.bandwidth),
                    ("AVERAGE-BANDWIDTH", variant.average_bandwidth),
                    ("CODECS", variant.codecs),
                    ("RESOLUTION", variant.resolution),
                    ("FRAME-RATE", variant.frame_rate),
                )
                if not value
            ]
            if missing:
                yield f"{variant.uri} lacks {', '.join(missing)}"
            if variant.frame_rate and not _FRAME_RATE.fullmatch(variant.frame_rate):
                yield f"{variant.uri}: FRAME-RATE={variant.frame_rate} has not three decimals"
            yield from _untrue(observation, multivariant, variant)
        if not multivariant.variants:
            yield "there is no EXT-X-STREAM-INF"

    return judge(faults(), "; ".join(f"{v.codecs} {v.resolution}" for v in multivariant.variants))


def _untrue(
    observation: Observation, multivariant: Multivariant, variant: Variant
) -> Iterator[str]:
    """What the media says otherwise. The codec of the pictures is for rule 56."""
    told = set((variant.codecs or "").lower().split(","))
    for media in _media_of(multivariant, variant):
        sound = _rendition(observation, media.uri)
        init = observation.first_init(sound) if sound else None
        if init and init.codecs and init.codecs.lower() not in told:
            yield f"{variant.uri}: CODECS lacks {init.codecs} of {media.uri}"
    pictures = _rendition(observation, variant.uri)
    init = observation.first_init(pictures) if pictures else None
    if pictures is None or init is None or not init.width:
        return
    size = _RESOLUTION.fullmatch(variant.resolution or "")
    if size and (int(size[1]), int(size[2])) != (init.width, init.height):
        yield f"{variant.uri}: RESOLUTION={variant.resolution}, media {init.width}x{init.height}"
    rate = _frame_rate(observation, pictures, init)
    told_rate = Fraction(variant.frame_rate) if _FRAME_RATE.fullmatch(variant.frame_rate) else None
    if rate and told_rate is not None and abs(told_rate - rate) > Fraction(1, 100):
        yield f"{variant.uri}: FRAME-RATE={variant.frame_rate}, media {float(rate):.3f}"


def _frame_rate(observation: Observation, rendition: Rendition, init: Init) -> Fraction | None:
    for known in rendition.timeline.complete:
        frames = observation.segment_frames(rendition, known)
        length = seconds(frames, init.timescale_hz) if frames else None
        if frames and length:
            return len(frames) / length
    return None


def _bit_rates(observation: Observation) -> Verdict:
    multivariant = observation.multivariant
    if multivariant is None:
        return not_applicable(_NO_MULTIVARIANT)
    told: list[str] = []

    def faults() -> Iterator[str]:
        for variant in multivariant.variants:
            pictures = _rendition(observation, variant.uri)
            measured = _measured(observation, pictures)
            if measured is None:
                continue
            peak, average = measured
            sounds = [_rendition(observation, m.uri) for m in _media_of(multivariant, variant)]
            rates = [rate for s in sounds if s and (rate := _measured(observation, s))]
            peak += max((rate[0] for rate in rates), default=0)
            average += max((rate[1] for rate in rates), default=0)
            told.append(f"{variant.uri}: peak {peak:.0f}, average {average:.0f} bit/s")
            if variant.bandwidth and peak > 1.25 * variant.bandwidth:
                yield f"{variant.uri}: peak {peak:.0f} > 125 % of BANDWIDTH {variant.bandwidth}"
            allowed = variant.average_bandwidth
            if allowed and average > 1.1 * allowed:
                yield f"{variant.uri}: average {average:.0f} > 110 % of AVERAGE-BANDWIDTH {allowed}"

    found = list(faults())
    if not told:
        return not_seen("no segment was fetched")
    return judge(found, "; ".join(told))


def _measured(observation: Observation, rendition: Rendition | None) -> tuple[float, float] | None:
    """Peak and average bits a second of the fetched segments (§4.4.6.2)."""
    if rendition is None:
        return None
    sizes = []
    for known in rendition.timeline.complete:
        found = observation.resource(rendition, known.uri, known.byterange)
        # A last, short segment is no measure of a peak.
        is_long = known.duration * 2 >= rendition.target_duration
        if found and found.body is not None and is_long:
            sizes.append((8 * len(found.body), float(known.duration)))
    if not sizes:
        return None
    total = sum(bits for bits, _ in sizes) / sum(length for _, length in sizes)
    return max(bits / length for bits, length in sizes), total


def _groups(observation: Observation) -> Verdict:
    multivariant = observation.multivariant
    if multivariant is None:
        return not_applicable(_NO_MULTIVARIANT)
    if not multivariant.media and not any(v.audio for v in multivariant.variants):
        return not_applicable("no EXT-X-MEDIA")

    def faults() -> Iterator[str]:
        groups: dict[tuple[str, str], list[Media]] = {}
        for media in multivariant.media:
            groups.setdefault((media.kind or "", media.group_id or ""), []).append(media)
            yield from _incomplete(media)
        for variant in multivariant.variants:
            for kind, group in (("AUDIO", variant.audio), ("SUBTITLES", variant.subtitles)):
                if group is not None and (kind, group) not in groups:
                    yield f'{variant.uri}: {kind}="{group}" names no group'
        for (kind, group), members in groups.items():
            yield from _bad_group(kind, group, members)

    return judge(faults(), f"{len(multivariant.media)} EXT-X-MEDIA")


def _bad_group(kind: str, group: str, members: list[Media]) -> Iterator[str]:
    names = [media.name for media in members]
    if len(set(names)) < len(names):
        yield f"group {group}: a NAME stands twice"
    # Text that nobody has asked for may be off; sound may not.
    defaults, least = sum(media.default for media in members), int(kind == "AUDIO")
    if not least <= defaults <= 1:
        yield f"group {group}: {defaults} DEFAULT=YES, not 1"


def _incomplete(media: Media) -> Iterator[str]:
    name = media.name or "EXT-X-MEDIA"
    wanted = {"GROUP-ID": media.group_id, "NAME": media.name, "LANGUAGE": media.language}
    if media.kind == "AUDIO":
        wanted["CHANNELS"] = media.channels
    if media.kind == "SUBTITLES":  # §4.4.6.1: elsewhere it may stand in the variant's media
        wanted["URI"] = media.uri
    missing = [key for key, value in wanted.items() if not value]
    if missing:
        yield f"{name} lacks {', '.join(missing)}"
    if media.default and not media.autoselect:
        yield f"{name}: DEFAULT=YES without AUTOSELECT=YES"


def _several_rates(observation: Observation) -> Verdict:
    if observation.multivariant is None:
        return not_applicable(_NO_MULTIVARIANT)
    rates = {variant.bandwidth for variant in observation.multivariant.variants}
    return judge(["one bit rate"] if len(rates) < 2 else [], f"{len(rates)} bit rates")


def _demuxed(observation: Observation) -> Verdict:
    multivariant = observation.multivariant
    if multivariant is None:
        return not_applicable(_NO_MULTIVARIANT)

    def faults() -> Iterator[str]:
        for variant in multivariant.variants:
            if not any(media.uri for media in _media_of(multivariant, variant)):
                yield f"{variant.uri} has no audio rendition of its own"

    return judge(faults(), "audio is demuxed")


def _aligned(observation: Observation) -> Verdict:
    multivariant = observation.multivariant
    if multivariant is None:
        return not_applicable(_NO_MULTIVARIANT)
    variants = [r for v in multivariant.variants if (r := _rendition(observation, v.uri))]
    if len(variants) < 2:
        return not_applicable("there is one variant")
    compared = 0

    def faults() -> Iterator[str]:
        nonlocal compared
        first = variants[0]
        starts = {k.wall: k for k in first.timeline.complete if k.wall is not None}
        if not starts:
            return
        for other in variants[1:]:
            for known in other.timeline.complete:
                if known.wall is None or not min(starts) <= known.wall <= max(starts):
                    continue
                compared += 1
                near = min(starts, key=lambda wall: abs(wall - (known.wall or 0)))
                if abs(near - known.wall) > Fraction(2, 1000):
                    apart = float(known.wall - near)
                    yield f"{other.name}: msn {known.msn} starts {apart:+.3f} s from {first.name}'s"

    found = list(faults())
    return (
        judge(found, f"{compared} segment starts agree")
        if compared or found
        else (not_seen("no segments at the same time"))
    )


CHECKS: tuple[Check[Observation], ...] = (
    must(44, _reports),
    must(45, _together),
    must(47, _attributes),
    must(48, _bit_rates),
    must(49, _groups),
    must(50, _several_rates),
    should(50, _demuxed),
    must(51, _aligned),
)
