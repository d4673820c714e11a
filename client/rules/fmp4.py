"""Rules 52 to 59: what the boxes say."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from client.media import Fragments, Init, in_band_sps
from client.observation import Observation, Rendition, Resource
from client.rules.time import offsets
from client.timeline import Known
from client.verdicts import Check, Verdict, judge, must, not_applicable, not_seen, should
from encoder.codecs import is_random_access

# Beyond this a time was negative once, and wrapped.
_WRAPPED_TICKS = 2**62
# AAC frames: 1024 samples, 960 in broadcast, 2048 with SBR on the output's clock.
_AAC_FRAME_TICKS = {960, 1024, 2048}
# Sample entries whose parameter sets stand in the init segment, as Apple asks; of HEVC and AV1 too.
_PARAMETERS_APART = {"avc1", "hvc1", "av01"}
RANDOM_ACCESS_KNOWN = _PARAMETERS_APART | {"avc3", "hev1"}
_LIP_SYNC = Fraction(1, 50)  # seconds; one AAC frame at 48 kHz is 21.3 ms
_NO_INIT = "no init segment was seen"


def _inits(observation: Observation) -> list[Resource]:
    return [r for r in observation.media.values() if r.kind == "init" and r.body is not None]


def _fragments(
    observation: Observation,
) -> Iterator[tuple[Rendition, Known, Resource, Init, Fragments]]:
    for rendition, known, resource, init in observation.fragment_files():
        fragments = resource.fragments(init)
        if isinstance(fragments, Fragments):
            yield rendition, known, resource, init, fragments


def _init_segments(observation: Observation) -> Verdict:
    found = _inits(observation)
    if not found:
        return not_applicable(_NO_INIT)

    def faults() -> Iterator[str]:
        for resource in found:
            name, init = resource.address.name, resource.init
            if isinstance(init, str):
                yield f"{name}: {init}"
                continue
            if init.kinds[:1] != ("ftyp",) or "moov" not in init.kinds:
                yield f"{name} is {'+'.join(init.kinds)}, not ftyp+moov"
            if {"moof", "mdat"} & set(init.kinds):
                yield f"{name} holds media"
            if not init.has_mvex:
                yield f"{name} has no mvex"
            if init.samples:
                yield f"{name} lists {init.samples} samples"
            for text in init.durations:
                yield f"{name}: {text}, not 0"

    return judge(faults(), f"{len(found)} init segments")


def _addressing(observation: Observation) -> Verdict:
    if not _inits(observation):
        return not_applicable(_NO_INIT)
    checked = 0

    def faults() -> Iterator[str]:
        nonlocal checked
        for _rendition, _known, resource, init in observation.fragment_files():
            checked += 1
            fragments, name = resource.fragments(init), resource.address.name
            if isinstance(fragments, str):
                yield f"{name}: {fragments}"
                continue
            ids = {track.track_id for track in init.tracks}
            for run in fragments.runs:
                if run.tfdt_ticks is None:
                    yield f"{name} has a traf without tfdt"
                if not run.base_is_moof:
                    yield f"{name} lacks default-base-is-moof"
                if run.track_id not in ids:
                    yield f"{name} is of track {run.track_id}, the init segment has {min(ids)}"

    found = list(faults())
    return judge(found, f"{checked} files") if checked else not_seen("no media was fetched")


def _media_times(observation: Observation) -> Verdict:
    if not _inits(observation):
        return not_applicable(_NO_INIT)
    checked = [0]

    def faults() -> Iterator[str]:
        for rendition in observation.renditions:
            yield from _tfdt_faults(observation, rendition, checked)
        yield from _parts_continuous(observation)

    found = list(faults())
    if not checked[0]:
        return not_seen("no media was fetched")
    return judge(found, f"{checked[0]} fragments follow each other")


def _tfdt_faults(
    observation: Observation, rendition: Rendition, checked: list[int]
) -> Iterator[str]:
    expected: int | None = None
    number: int | None = None
    for known, name, fragments, init in _in_order(observation, rendition):
        if known.discontinuity_number != number:
            number, expected = known.discontinuity_number, None
        if fragments is None or init is None:
            expected = None
            continue
        for run in fragments.of(init.tracks[0].track_id):
            checked[0] += 1
            start = run.tfdt_ticks or 0
            if start >= _WRAPPED_TICKS:
                yield f"{rendition.name}: tfdt of {name} is {start}: it wrapped"
            if expected is not None and start != expected:
                off = (start - expected) / init.timescale_hz
                yield f"{rendition.name}: tfdt of {name} is {off:+.4f} s off"
            expected = start + sum(frame.duration_ticks for frame in run.frames)


def _in_order(
    observation: Observation, rendition: Rendition
) -> Iterator[tuple[Known, str, Fragments | None, Init | None]]:
    """Whole segments in order; in parts where a segment is not complete."""
    previous: int | None = None
    for known in rendition.timeline.segments:
        init = observation.init_of(rendition, known)
        if previous is not None and known.msn != previous + 1:
            yield known, "", None, None
        previous = known.msn
        names = [(known.uri, known.byterange)] if known.uri else []
        names = names or [(part.uri, part.byterange) for part in known.parts]
        for uri, byterange in names:
            found = observation.resource(rendition, uri, byterange)
            fragments = found.fragments(init) if found and found.body and init else None
            yield known, uri, fragments if isinstance(fragments, Fragments) else None, init


def _parts_continuous(observation: Observation) -> Iterator[str]:
    for rendition in observation.low_latency:
        for known in rendition.timeline.segments:
            expected: int | None = None
            for index in range(len(known.parts)):
                frames = observation.part_frames(rendition, known, index)
                if frames is None:
                    expected = None
                    continue
                if expected is not None and frames[0].dts_ticks != expected:
                    yield f"{rendition.name}: tfdt of part {known.msn}.{index} leaves a gap"
                expected = frames[-1].dts_ticks + frames[-1].duration_ticks


def _idr(observation: Observation) -> Verdict:
    checked = 0

    def faults() -> Iterator[str]:
        nonlocal checked
        for rendition in observation.renditions:
            for known in rendition.timeline.complete:
                init = observation.init_of(rendition, known)
                frames = observation.segment_frames(rendition, known)
                if not frames or init is None or init.entry not in RANDOM_ACCESS_KNOWN:
                    continue
                checked += 1
                if not is_random_access(init.entry, frames[0].data):
                    yield f"{rendition.name}: msn {known.msn} does not start with an IDR"
                elif not frames[0].is_sync:
                    yield f"{rendition.name}: the IDR of msn {known.msn} lacks the sync flag"

    found = list(faults())
    return (
        judge(found, f"{checked} segments start with an IDR")
        if checked
        else (not_seen("no AVC, HEVC or AV1 segment was read"))
    )


def _avc(observation: Observation) -> Verdict:
    checked = 0

    def faults() -> Iterator[str]:
        nonlocal checked
        told = {
            codec.lower()
            for variant in (observation.multivariant.variants if observation.multivariant else ())
            for codec in (variant.codecs or "").split(",")
        }
        for resource in _inits(observation):
            init = resource.init
            if isinstance(init, str) or not init.is_video:
                continue
            checked += 1
            if init.entry not in _PARAMETERS_APART:
                yield f"{resource.address.name} is {init.entry}, not avc1"
            if init.codecs and observation.multivariant and init.codecs.lower() not in told:
                yield f"the init segment is {init.codecs}, CODECS say {', '.join(sorted(told))}"
        for _rendition, _known, resource, init, fragments in _fragments(observation):
            if init.sps and resource.kind == "segment":
                for frame in fragments.frames(init.tracks[0].track_id)[:1]:
                    if any(sps not in init.sps for sps in in_band_sps(frame.data)):
                        yield f"in-band SPS of {resource.address.name} differs from avcC"

    found = list(faults())
    return (
        judge(found, f"{checked} video init segments")
        if checked
        else (not_seen("no video init segment was read"))
    )


def _one_track(observation: Observation) -> Verdict:
    found = [resource for resource in _inits(observation) if isinstance(resource.init, Init)]
    if not found:
        return not_applicable(_NO_INIT)

    def faults() -> Iterator[str]:
        for resource in found:
            name, init = resource.address.name, resource.init
            if isinstance(init, Init):
                if len(init.tracks) != 1:
                    yield f"{name} has {len(init.tracks)} tracks"
                for text in init.edits:
                    yield f"{name}: {text}"
        for _rendition, _known, resource, _init, fragments in _fragments(observation):
            if len({run.track_id for run in fragments.runs}) > 1:
                yield f"{resource.address.name} has several tracks"
            if any(not run.base_is_moof for run in fragments.runs):
                yield f"{resource.address.name} lacks default-base-is-moof"

    return judge(faults(), "one track each, no edit that shifts media")


def _lip_sync(observation: Observation) -> Verdict:
    pictures = [r for r in observation.renditions if observation.is_video(r)]
    sounds = [r for r in observation.renditions if r not in pictures]
    if not pictures or not sounds:
        return not_applicable("no separate sound")
    worst = Fraction()
    compared = 0

    def faults() -> Iterator[str]:
        nonlocal worst, compared
        video = offsets(observation, pictures[0])
        for sound in sounds:
            for number, entries in offsets(observation, sound).items():
                for msn, offset in entries:
                    if number not in video:
                        continue
                    compared += 1
                    apart = offset - video[number][0][1]
                    worst = max(worst, abs(apart))
                    if abs(apart) > _LIP_SYNC:
                        yield f"{sound.name}: msn {msn} is {float(apart) * 1000:+.1f} ms off"

    found = list(faults())
    told = f"at equal dates media times agree within {float(worst) * 1000:.1f} ms"
    return (
        judge(found, told + " (priming: not visible)")
        if compared
        else (not_seen("no dates could be compared"))
    )


def _whole_frames(observation: Observation) -> Verdict:
    checked = 0

    def faults() -> Iterator[str]:
        nonlocal checked
        for _rendition, _known, resource, init, fragments in _fragments(observation):
            if init.entry != "mp4a":
                continue
            checked += 1
            frames = fragments.frames(init.tracks[0].track_id)
            if any(frame.duration_ticks not in _AAC_FRAME_TICKS for frame in frames):
                odd = sorted({f.duration_ticks for f in frames} - _AAC_FRAME_TICKS)
                yield f"{resource.address.name} has AAC frames of {odd[0]} ticks"
            if fragments.stray_bytes:
                yield f"{resource.address.name} has {fragments.stray_bytes} bytes of no frame"

    found = list(faults())
    return (
        judge(found, f"{checked} files of whole AAC frames")
        if checked
        else (not_applicable("no AAC"))
    )


CHECKS: tuple[Check[Observation], ...] = (
    must(52, _init_segments),
    must(53, _addressing),
    must(54, _media_times),
    must(55, _idr),
    should(56, _avc),
    must(57, _one_track),
    must(58, _lip_sync),
    must(59, _whole_frames),
)
