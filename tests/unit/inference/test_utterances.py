"""The queue of what is to be said: its bound, its files, and what is told of it."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
import soundfile

from encoder.captions import read_lines
from inference.errors import AudioRejected
from inference.utterances import QueueFull, TooLong, Utterances, name_of
from journal import Journal
from rawmedia import CUES_SUFFIX, MediaFormat

MEDIA = MediaFormat(64, 64, 25)
LIMIT_SECONDS, MAX_SECONDS = 10, 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "demo.speech"
    path.mkdir()
    return path


@pytest.fixture
def queue(folder: Path) -> Utterances:
    return made(folder)


def made(folder: Path) -> Utterances:
    return Utterances(MEDIA, folder, LIMIT_SECONDS, journal(folder))


def journal(folder: Path) -> Journal:
    return Journal(folder.with_suffix(".events"))


def told(folder: Path) -> list[tuple[str, str]]:
    return [(event.kind, event.facts["utterance"]) for event in journal(folder).after(0)]


def recording(folder: Path, seconds: float) -> Path:
    path = folder / f"{len(list(folder.iterdir()))}-{seconds}.partial"
    wave = 0.3 * np.sin(np.arange(round(16_000 * seconds)) / 8)
    soundfile.write(path, wave, 16_000, format="WAV")
    return path


def add(queue: Utterances, folder: Path, seconds: float, *, interrupt: bool = False) -> int:
    place = queue.add(recording(folder, seconds), MAX_SECONDS, {}, interrupt=interrupt)
    assert place.duration == pytest.approx(seconds, abs=0.05)
    return place.utterance


def test_first_come_first_said(queue: Utterances, folder: Path) -> None:
    numbers = [add(queue, folder, 1.0) for _ in range(3)]
    assert numbers == sorted(set(numbers))
    taken = [queue.take() for _ in range(3)]
    assert [line.number for line in taken if line] == numbers
    assert queue.take() is None
    assert told(folder) == [("speech_queued", name_of(number)) for number in numbers]


def test_the_start_is_estimated(queue: Utterances, folder: Path) -> None:
    for before, least in ((0, 0.0), (1, 2.0), (2, 4.0)):
        place = queue.add(recording(folder, 2.0), MAX_SECONDS, {}, interrupt=False)
        assert least <= place.starts_in <= least + 0.4 * (before + 1)
        assert place.queued == pytest.approx(2.0 * (before + 1))


def test_the_queue_is_bounded_and_says_how_long_to_wait(queue: Utterances, folder: Path) -> None:
    add(queue, folder, 6.0)
    with pytest.raises(QueueFull, match=r"6\.0 s of speech wait.*10 s are the most") as refused:
        add(queue, folder, 7.0)
    assert refused.value.wait_seconds == pytest.approx(3.0, abs=0.05)
    add(queue, folder, 4.0)
    assert queue.queued_seconds() == pytest.approx(10.0)


def test_what_is_being_said_counts(queue: Utterances, folder: Path) -> None:
    add(queue, folder, 6.0)
    assert queue.take()
    queue.units_left = queue.posted_units_left = 5 * MEDIA.fps  # a second of it has been said
    with pytest.raises(QueueFull) as refused:
        add(queue, folder, 7.0)
    assert refused.value.wait_seconds == pytest.approx(2.0, abs=0.05)


def test_no_wait_makes_room_for_what_is_longer_than_the_queue(
    queue: Utterances, folder: Path
) -> None:
    with pytest.raises(TooLong, match=r"lasts 11\.0 s, 10 s of speech are the most"):
        add(queue, folder, 11.0)


def test_an_interruption_takes_the_place_of_all_before_it(queue: Utterances, folder: Path) -> None:
    first, second = add(queue, folder, 4.0), add(queue, folder, 4.0)
    line = queue.take()
    assert line
    assert line.number == first
    third = add(queue, folder, 9.0, interrupt=True)
    assert first < second < queue.hush_below <= third
    following = queue.take()
    assert following
    assert following.number == third
    assert told(folder)[2:] == [
        ("speech_interrupted", name_of(second)),
        ("speech_queued", name_of(third)),
    ]
    # The first was under way: the encoder process tells where it was cut off.


def test_a_file_that_is_refused_interrupts_nothing(queue: Utterances, folder: Path) -> None:
    number = add(queue, folder, 2.0)
    bad = folder / "bad.partial"
    bad.write_bytes(b"no sound at all")
    with pytest.raises(AudioRejected):
        queue.add(bad, MAX_SECONDS, {}, interrupt=True)
    line = queue.take()
    assert line
    assert line.number == number
    assert queue.hush_below == 0


def test_silence_is_asked_for(queue: Utterances, folder: Path) -> None:
    numbers = [add(queue, folder, 1.0) for _ in range(2)]
    assert queue.hush() == numbers
    assert queue.take() is None
    assert queue.queued_seconds() == 0
    assert {path.name for path in folder.iterdir()} == {"ever"}
    assert queue.hush() == []


def test_files_last_as_long_as_their_utterance(queue: Utterances, folder: Path) -> None:
    number = add(queue, folder, 1.0)
    assert (folder / str(number)).exists()
    queue.take()
    assert not (folder / str(number)).exists()
    assert (folder / f"{number}.speaking").exists()
    queue.done(number)
    assert {path.name for path in folder.iterdir()} == {"ever"}


def test_a_new_worker_goes_on_and_tells_what_was_cut_off(queue: Utterances, folder: Path) -> None:
    first, second, third = (add(queue, folder, 1.0) for _ in range(3))
    queue.take()
    successor = made(folder)
    assert successor.any_was_posted
    successor.resume(MAX_SECONDS)
    assert told(folder)[3:] == [("speech_lost", name_of(first))]
    taken = [successor.take(), successor.take()]
    assert [line.number for line in taken if line] == [second, third]
    assert add(successor, folder, 1.0) > third


def test_a_file_that_has_suffered_meanwhile_is_told_as_lost(
    queue: Utterances, folder: Path
) -> None:
    number = add(queue, folder, 1.0)
    (folder / str(number)).write_bytes(b"")
    successor = made(folder)
    successor.resume(MAX_SECONDS)
    assert successor.take() is None
    assert told(folder)[1:] == [("speech_lost", name_of(number))]


def test_what_is_being_received_is_not_resumed(folder: Path) -> None:
    """Its name is hexadecimal, and may begin with a digit."""
    for name in ("57d6ffdda1d072a251ac448113b6a807.partial", "1234.partial"):
        (folder / name).write_bytes(b"RIFF")
    successor = made(folder)
    successor.resume(MAX_SECONDS)
    assert successor.take() is None
    assert told(folder) == []
    assert len(list(folder.iterdir())) == 2


def test_nothing_was_ever_posted(folder: Path) -> None:
    assert not made(folder).any_was_posted
    made(folder).resume(MAX_SECONDS)
    assert told(folder) == []


def test_a_full_disk_is_no_reason_to_fall_silent(
    queue: Utterances, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Journal, "add", full)
    number = add(queue, folder, 1.0)
    line = queue.take()
    assert line
    assert line.number == number
    queue.never_began(number)


# --- captions -------------------------------------------------------------------------------------

CUES = {"cues": [{"at_seconds": 0.0, "text": "Hello."}, {"at_seconds": 0.4, "text": "Bye."}]}


def add_text(queue: Utterances, folder: Path) -> int:
    return queue.add(recording(folder, 0.5), MAX_SECONDS, CUES, interrupt=False).utterance


def captioned(folder: Path) -> set[int]:
    return {int(path.stem) for path in folder.glob(f"*{CUES_SUFFIX}")}


def test_captions_stand_beside_their_sound(queue: Utterances, folder: Path) -> None:
    number = add_text(queue, folder)
    assert [(line.at, line.text) for line in read_lines(folder / f"{number}{CUES_SUFFIX}")] == [
        (0.0, "Hello."),
        (0.4, "Bye."),
    ]
    add(queue, folder, 0.5)
    assert captioned(folder) == {number}, "a sound has none"


def test_captions_stay_until_two_more_have_begun(queue: Utterances, folder: Path) -> None:
    numbers = [add_text(queue, folder) for _ in range(4)]
    left = []
    for number in numbers:
        queue.take()
        left.append(sorted(captioned(folder)))
        queue.done(number)
    assert left == [numbers, numbers, numbers[1:], numbers[2:]]


def test_captions_of_what_is_not_said_go(queue: Utterances, folder: Path) -> None:
    for _ in range(3):
        add_text(queue, folder)
    queue.hush()
    assert captioned(folder) == set()


def test_a_new_worker_has_the_captions_of_what_waits(queue: Utterances, folder: Path) -> None:
    numbers = [add_text(queue, folder) for _ in range(2)]
    after = made(folder)
    after.resume(MAX_SECONDS)
    assert captioned(folder) == set(numbers)


def test_a_full_disk_costs_the_captions_only(
    queue: Utterances, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "write_text", full)
        number = queue.add(recording(folder, 0.5), MAX_SECONDS, CUES, interrupt=False).utterance
    assert captioned(folder) == set()
    line = queue.take()
    assert line is not None
    assert line.number == number
