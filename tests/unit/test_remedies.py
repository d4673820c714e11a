"""What is done about an encoder that fails: decisions, without an encoder."""

from __future__ import annotations

from encoder.clock import NANOSECONDS
from encoder.errors import EncoderExited
from encoder.remedies import FAILURES_KEPT, Record, Remedies, failure

SECOND = NANOSECONDS


def fail(
    remedies: Remedies, times: int, *, every: int = SECOND, media: bool = True
) -> list[float | None]:
    """Failures of runs that lasted that long each."""
    began = range(0, times * every, every)
    return [remedies.after_failure(at, at + every, gave_media=media) for at in began]


def test_delays_double_and_are_forgotten_after_a_healthy_minute() -> None:
    remedies = Remedies(hardware=False)
    assert fail(remedies, 11) == [0.0, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]
    assert remedies.after_failure(0, 61 * SECOND, gave_media=True) == 0.0


def test_software_that_gives_media_is_never_given_up() -> None:
    remedies = Remedies(hardware=False, replaceable=True)
    assert None not in fail(remedies, 50)


def test_three_runs_without_a_frame_are_enough() -> None:
    assert fail(Remedies(hardware=False), 3, media=False) == [0.0, 0.2, None]


def test_a_frame_in_between_counts() -> None:
    remedies = Remedies(hardware=True)
    assert None not in fail(remedies, 2, media=False)
    assert None not in fail(remedies, 1)
    assert None not in fail(remedies, 2, media=False)


def test_where_another_one_works_one_run_without_a_frame_is_enough() -> None:
    for hardware in (False, True):
        remedies = Remedies(hardware=hardware, replaceable=True)
        assert fail(remedies, 1) == [0.0]
        assert fail(remedies, 1, media=False) == [None]


def test_circuits_that_fail_often_are_replaced_only_where_something_can_take_their_place() -> None:
    assert fail(Remedies(hardware=True, replaceable=True), 3)[-1] is None
    assert None not in fail(Remedies(hardware=True), 10)


def test_circuits_that_fail_now_and_then_stay() -> None:
    assert None not in fail(Remedies(hardware=True, replaceable=True), 10, every=16 * SECOND)


def test_the_record_counts_all_and_keeps_the_last_with_its_reasons() -> None:
    record = Record()
    for number in range(FAILURES_KEPT + 2):
        exited = EncoderExited(["ffmpeg", "-x"], number, [f"line {n}" for n in range(20)])
        record.failures.append(failure("exited", "its output ended", "libx264", exited))
        record.restarts["exited"] += 1
    shown = record.shown()
    assert shown["encoder_restarts"] == FAILURES_KEPT + 2
    last = shown["encoder_failures"][-1]
    assert len(shown["encoder_failures"]) == FAILURES_KEPT
    assert (last["status"], last["argv"]) == (FAILURES_KEPT + 1, ["ffmpeg", "-x"])
    assert last["stderr"] == ["line 17", "line 18", "line 19"]
