"""Mouth shapes from sound: pure functions, no model.

Loudness opens the mouth; the balance of three bands tells a wide vowel ("ee": strong second formant
near 2.3 kHz) from a round one ("oo": everything below 1 kHz). The whole file is known when it is
loaded, so the smoothing looks both ways and the lips lag by nothing; :mod:`inference.live_mouth` is
the form for a voice that is only just heard.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawmedia import Samples

Curve = NDArray[np.float64]

STEPS_PER_SECOND = 100  # shapes are computed finer than frames, then averaged per frame
WINDOW_SECONDS = 0.03
ANALYSIS_HZ = 16_000
BLOCK_STEPS = 2048  # bounds the memory of the spectra
BLOCK_SAMPLES = 1 << 16  # and that of what is thinned

LOW_HZ = (120.0, 600.0)
MIDDLE_HZ = (850.0, 1600.0)  # the first formant of "ah" tells nothing: left out
HIGH_HZ = (1800.0, 3600.0)
HISS_HZ = (4200.0, 7800.0)

# A lip that opens takes ~30 ms, one that falls shut a little longer.
ATTACK_SECONDS = 0.012
RELEASE_SECONDS = 0.035

SILENCE = 0.0012  # root mean square of full scale (-58 dB): below it is room noise, not speech
REST = 0.05  # openings below this are rest: exactly zero
# Of all levels: where a voice's loud syllables begin, and where the noise between words ends.
LOUD_PERCENTILE, NOISE_PERCENTILE, ABOVE_NOISE = 93, 10, 1.6


@dataclass(frozen=True, slots=True)
class MouthShape:
    """One moment of a mouth; each from 0 to 1, all zero at rest."""

    open: float = 0.0
    wide: float = 0.0
    round: float = 0.0


REST_SHAPE = MouthShape()


@dataclass(frozen=True, slots=True)
class MouthTrack:
    """Shapes of a whole clip, one value per frame."""

    open: Curve
    wide: Curve
    round: Curve

    def shape(self, index: int) -> MouthShape:
        """The shape at one frame; rest beyond the end."""
        if not 0 <= index < len(self.open):
            return REST_SHAPE
        return MouthShape(
            float(self.open[index]), float(self.wide[index]), float(self.round[index])
        )


@dataclass(frozen=True, slots=True)
class Scale:
    """How loud a voice is; root mean square of full scale."""

    floor: float  # up to here it is silent
    loud: float  # here it opens a mouth about wholly


def mouth_track(
    samples: Samples, rate_hz: int, samples_per_frame: int, scale: Scale | None = None
) -> MouthTrack:
    """Shapes for every frame of ``samples`` (NxC int16, N a multiple of ``samples_per_frame``).

    Args:
        samples: the sound.
        rate_hz: of the samples.
        samples_per_frame: of the pictures that the shapes are for.
        scale: of the voice; None: the samples themselves tell.
    """
    frames = len(samples) // samples_per_frame
    steps_per_frame = max(1, round(STEPS_PER_SECOND * samples_per_frame / rate_hz))
    step_seconds = samples_per_frame / rate_hz / steps_per_frame
    mono, mono_hz = _thinned(samples, rate_hz)
    level, low, middle, high, hiss = _bands(mono, mono_hz, frames * steps_per_frame)

    opening = _smooth(_loudness(level, scale or _scale(level)), step_seconds)
    opening = np.clip((opening - REST) / (1.0 - REST), 0.0, 1.0)
    speaking = np.clip(opening * 5.0, 0.0, 1.0)  # a mouth at rest has no shape
    wide, rounded = _vowel(low, middle, high, hiss)
    return MouthTrack(
        open=_per_frame(opening, steps_per_frame),
        wide=_per_frame(_smooth(wide * speaking, step_seconds) * speaking, steps_per_frame),
        round=_per_frame(_smooth(rounded * speaking, step_seconds) * speaking, steps_per_frame),
    )


def envelope(samples: Samples, samples_per_frame: int) -> Curve:
    """Root mean square of each frame's samples, 0 to 1: what an opening is compared with."""
    whole = len(samples) // samples_per_frame * samples_per_frame
    frames = samples[:whole].astype(np.float64).mean(axis=1).reshape(-1, samples_per_frame)
    rms: Curve = np.sqrt((frames**2).mean(axis=1)) / 32768
    return rms


def _thinned(samples: Samples, rate_hz: int) -> tuple[NDArray[np.float32], float]:
    """Mono at about 16 kHz: all that lips follow is below 8 kHz, and a third of it is faster."""
    factor = max(1, rate_hz // ANALYSIS_HZ)
    thin = np.empty(-(-len(samples) // factor), np.float32)
    size = BLOCK_SAMPLES * factor
    for start in range(0, len(samples), size):
        mono = samples[start : start + size].mean(axis=1, dtype=np.float32)
        padded = np.pad(mono, (0, -len(mono) % factor)).reshape(-1, factor)
        first = start // factor
        thin[first : first + len(padded)] = padded.mean(axis=1) / np.float32(32768)
    return thin, rate_hz / factor


def _bands(mono: NDArray[np.float32], rate_hz: float, steps: int) -> tuple[Curve, ...]:
    """Root-mean-square level and the energies of four bands, each at the middle of its step."""
    size = max(16, round(WINDOW_SECONDS * rate_hz))
    window = np.hanning(size).astype(np.float32)
    centres = (np.arange(steps) + 0.5) * len(mono) / steps
    padded = np.pad(mono, size)
    frequency = np.fft.rfftfreq(size, 1 / rate_hz)
    picks = [(frequency >= a) & (frequency < b) for a, b in (LOW_HZ, MIDDLE_HZ, HIGH_HZ, HISS_HZ)]
    out = np.zeros((5, steps))
    for start in range(0, steps, BLOCK_STEPS):
        block = slice(start, min(start + BLOCK_STEPS, steps))
        first = (centres[block] + size / 2).astype(np.intp)
        pieces = padded[first[:, None] + np.arange(size)] * window
        power = np.abs(np.fft.rfft(pieces, axis=1)) ** 2
        out[0, block] = np.sqrt((pieces**2).sum(axis=1) / (window**2).sum())
        for row, pick in enumerate(picks, start=1):
            out[row, block] = power[:, pick].sum(axis=1)
    return tuple(out)


def _scale(level: Curve) -> Scale:
    """Of this very recording; where nothing is heard in it, one that nothing in it reaches."""
    heard = level[level > SILENCE]
    if not len(heard):
        return Scale(SILENCE, SILENCE)
    loud = float(np.percentile(heard, LOUD_PERCENTILE))
    noise = min(float(np.percentile(level, NOISE_PERCENTILE)) * ABOVE_NOISE, 0.12 * loud)
    return Scale(max(SILENCE, noise), loud)


def _loudness(level: Curve, scale: Scale) -> Curve:
    """0 in silence, about 1 at the loud syllables."""
    span = max(scale.loud - scale.floor, SILENCE)
    return np.clip((level - scale.floor) / span, 0.0, 1.15) ** 0.85


def _vowel(low: Curve, middle: Curve, high: Curve, hiss: Curve) -> tuple[Curve, Curve]:
    """(wide, round), by which band leads; speech falls off with frequency, hence the weights."""
    tiny = 1e-12
    front, back, bright = 14.0 * high, 1.6 * middle, 4.0 * hiss
    share = front / (front + back + 0.35 * low + tiny)
    wide = _ramp(share, 0.35, 0.75)
    closed_back = low / (low + back + front + bright + tiny)
    return wide, _ramp(closed_back, 0.45, 0.85) * (1.0 - wide)


def _ramp(x: Curve, low: float, high: float) -> Curve:
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    ramp: Curve = t * t * (3.0 - 2.0 * t)
    return ramp


def _smooth(curve: Curve, step_seconds: float) -> Curve:
    """Attack and release, the mean of a forward and a backward pass: no lag either way."""
    forward = _attack_release(curve, step_seconds)
    backward = _attack_release(curve[::-1], step_seconds)[::-1]
    return (forward + backward) / 2


def _attack_release(curve: Curve, step_seconds: float) -> Curve:
    attack = 1.0 - float(np.exp(-step_seconds / ATTACK_SECONDS))
    release = 1.0 - float(np.exp(-step_seconds / RELEASE_SECONDS))
    value, out = 0.0, []
    for target in curve.tolist():
        value += (attack if target > value else release) * (target - value)
        out.append(value)
    return np.array(out)


def _per_frame(curve: Curve, steps_per_frame: int) -> Curve:
    means: Curve = curve.reshape(-1, steps_per_frame).mean(axis=1)
    return means
