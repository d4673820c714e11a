"""The jitter buffer of somebody who speaks live: depth, gaps, delay and clicks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.live_sound import Converter, LiveSound
from rawmedia import MediaFormat, Samples

MEDIA = MediaFormat(64, 64, 25)
UNIT, RATE = MEDIA.samples_per_unit, MEDIA.audio_rate_hz
DEPTH = 0.12
FADE = 480


def tone(seconds: float, start: float = 0.0) -> Samples:
    at = start + np.arange(round(seconds * RATE)) / RATE
    wave: Samples = np.rint(16_000 * np.sin(2 * np.pi * 200 * at)).astype(np.int16)[:, None]
    return wave


def steepest(sound: Samples) -> int:
    return int(np.abs(np.diff(sound[:, 0].astype(int))).max())


NATURAL = steepest(tone(1.0))


@pytest.fixture
def sound() -> LiveSound:
    return LiveSound(MEDIA, DEPTH)


def test_it_begins_when_there_is_the_depth(sound: LiveSound) -> None:
    sound.add(tone(DEPTH - 0.01))
    assert not sound.is_ready
    assert not sound.take(UNIT).any()
    sound.add(tone(0.01))
    assert sound.is_ready
    assert sound.take(UNIT).any()


def test_in_time_it_is_heard_whole_and_in_order(sound: LiveSound) -> None:
    speech, heard = tone(4.0), []
    sound.add(speech[: round(DEPTH * RATE)])
    for at in range(round(DEPTH * RATE), len(speech), UNIT):
        heard.append(sound.take(UNIT))
        sound.add(speech[at : at + UNIT])
    all_of_it = np.concatenate(heard)
    assert np.array_equal(all_of_it[FADE:], speech[FADE : len(all_of_it)])
    assert sound.account.underruns == 0
    assert sound.account.heard == pytest.approx(len(all_of_it) / RATE)


def test_a_gap_is_counted_is_no_click_and_fills_to_the_depth(sound: LiveSound) -> None:
    sound.add(tone(0.19))
    heard = [sound.take(UNIT) for _ in range(8)]
    assert sound.account.underruns == 1
    assert sound.account.silent == pytest.approx(8 * 0.04 - 0.19)
    sound.add(tone(DEPTH - 0.02, 0.19))
    heard.append(sound.take(UNIT))
    assert not heard[-1].any()
    sound.add(tone(0.1, 0.19 + DEPTH - 0.02))
    heard += [sound.take(UNIT) for _ in range(4)]
    assert steepest(np.concatenate(heard)) <= 1.2 * NATURAL
    whole = np.concatenate(heard)
    assert np.abs(whole).max() > 15_000


def test_after_a_stall_delay_does_not_stay(sound: LiveSound) -> None:
    """The network held half a second back, and then it comes at once."""
    heard = []
    sound.add(tone(0.2))
    heard += [sound.take(UNIT) for _ in range(5)]
    sound.add(tone(0.7, 0.2))
    assert sound.account.dropped == pytest.approx(0.7 - DEPTH, abs=0.01)
    heard += [sound.take(UNIT) for _ in range(2)]
    assert steepest(np.concatenate(heard)) <= 1.2 * NATURAL


def test_a_jump_over_sound_is_no_click(sound: LiveSound) -> None:
    heard = []
    sound.add(tone(0.25))
    heard += [sound.take(UNIT) for _ in range(2)]
    sound.add(tone(0.25, 0.25))
    assert sound.account.dropped > 0.2
    heard += [sound.take(UNIT) for _ in range(2)]
    # Two tones are mixed for 10 ms.
    assert steepest(np.concatenate(heard)) <= 1.6 * NATURAL


def test_what_was_said_last_is_heard_to_its_end(sound: LiveSound) -> None:
    sound.add(tone(0.05))
    sound.finish()
    assert sound.is_ready
    heard = np.concatenate([sound.take(UNIT) for _ in range(2)])
    assert np.flatnonzero(heard)[-1] == pytest.approx(0.05 * RATE, abs=10)
    assert steepest(heard) <= 1.2 * NATURAL
    assert sound.is_over
    assert sound.account.underruns == 0, "he has finished: that is no gap"


def test_who_says_nothing_is_over_at_once(sound: LiveSound) -> None:
    sound.finish()
    assert sound.is_over
    assert not sound.is_ready


@given(st.lists(st.one_of(st.integers(0, 9_000), st.just(-1)), max_size=60), st.booleans())
def test_no_sample_is_lost_unseen(pieces: list[int], finishes: bool) -> None:
    """Whatever comes in whatever order: it is heard, dropped and counted, or still there."""
    sound, came = LiveSound(MEDIA, DEPTH), 0
    for piece in pieces:
        if piece < 0:
            assert sound.take(UNIT).shape == (UNIT, 1)
        else:
            came += piece
            sound.add(np.full((piece, 1), 1000, np.int16))
    if finishes:
        sound.finish()
    account, waits = sound.account, len(sound.ahead(1 << 20))
    gone = round((account.heard + account.dropped) * RATE)
    assert gone + waits == came
    assert waits <= (DEPTH + 0.2) * RATE


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_any_rate_becomes_the_streams(rate: int) -> None:
    stereo = MediaFormat(64, 64, 25, audio_channels=2)
    wave = np.rint(8_000 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype("<i2")
    converter, piece = Converter(rate, stereo), rate // 50
    made = [converter.convert(wave[at : at + piece].tobytes()) for at in range(0, rate, piece)]
    sound = np.concatenate(made).astype(float)
    assert sound.shape[1] == 2
    assert np.array_equal(sound[:, 0], sound[:, 1])
    assert len(sound) == pytest.approx(48_000, abs=0.05 * 48_000)
    spectrum = np.abs(np.fft.rfft(sound[2400:43_200, 0]))
    assert np.argmax(spectrum) * 48_000 / 40_800 == pytest.approx(440, abs=3)
    assert np.sqrt((sound[4800:40_000, 0] ** 2).mean()) == pytest.approx(8000 / 2**0.5, rel=0.02)


def test_conversion_holds_little_back() -> None:
    """It is delay for the listener: at the rate of telephones' better half no more than 20 ms."""
    converter, made = Converter(16_000, MEDIA), 0
    for _ in range(100):
        made += len(converter.convert(bytes(2 * 320)))
    assert (100 * 0.02 - made / RATE) < 0.02
