"""What a soak counts as a fault that was done, what each cost, and what it calls wrong."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from benchmarks.soak import LONGEST_PAUSE_SECONDS, Cost, _costs, _wrong, out_of_sync, undone
from benchmarks.soak_faults import FULL, Done, Faults
from benchmarks.soak_figures import NOISE, Sample, Trend, trends
from benchmarks.soak_lips import Lips
from benchmarks.soak_viewers import Pause, Viewer


class Scripted(Faults):
    """Two kinds: one that works, one that finds nothing to kill."""

    def kinds(self) -> dict[str, Callable[[], Awaitable[None]]]:
        async def works() -> None:
            return

        async def finds_nothing() -> None:
            raise ProcessLookupError("-m inference")

        return {"works": works, "finds nothing": finds_nothing}


def test_a_fault_that_could_not_be_done_is_not_counted_as_done(tmp_path: Path) -> None:
    faults = Scripted(1, "http://x", tmp_path / "media", [], random.Random(1))

    async def story() -> None:
        doing = asyncio.ensure_future(faults.do_for_ever(0.01))
        async with asyncio.timeout(20):
            while len({fault.name for fault in faults.done}) < 2:
                await asyncio.sleep(0.01)
        doing.cancel()

    asyncio.run(story())
    errors = {fault.name: fault.error for fault in faults.done}
    assert errors["works"] == ""
    assert errors["finds nothing"] == "ProcessLookupError: -m inference"
    assert undone(faults.done) == ["never done: finds nothing (ProcessLookupError: -m inference)"]


def test_one_that_failed_once_and_worked_once_was_done() -> None:
    assert undone([Done("x", 0, 1, "OSError: no"), Done("x", 2, 3)]) == []


def test_a_file_system_of_everybodys_is_not_filled(tmp_path: Path) -> None:
    faults = Faults(1, "http://x", tmp_path / "media", [], random.Random(1))
    assert faults.left_out == [FULL]
    assert FULL not in faults.kinds()
    assert len(faults.kinds()) > 5


# --- what it costs -------------------------------------------------------------------------------


def viewer(*pauses: Pause, parts: int = 1, broken: tuple[str, ...] = ()) -> Viewer:
    client = httpx.AsyncClient()  # asks nobody
    return Viewer(client, "http://x/media.m3u8", 1.0, parts, pauses=[*pauses], broken=[*broken])


def costs(done: list[Done], *viewers: Viewer) -> dict[str, Cost]:
    return {cost.fault: cost for cost in _costs(viewers, done)}


def test_a_pause_is_put_down_to_the_fault_that_began_last_before_its_end() -> None:
    """Also where it had begun before that. Of all viewers' pauses the longest counts."""
    done = [Done("a", 10, 11), Done("b", 20, 21), Done("a", 30, 31), Done("c", 40, 41)]
    watching = [
        viewer(Pause(8, 9.5), Pause(9, 12), Pause(33, 35)),
        viewer(Pause(13, 14.5), Pause(19, 25), Pause(30, 34), Pause(28, 30)),
    ]
    found = costs(done, *watching)
    assert found["a"] == Cost("a", times=2, noticed=2, median=3.5, longest=4)
    assert found["b"] == Cost("b", times=1, noticed=1, median=6, longest=6)
    assert found["c"] == Cost("c", times=1, noticed=0, median=0, longest=0)


def test_what_came_after_the_last_fault_is_the_last_ones() -> None:
    found = costs([Done("a", 10, 11), Done("b", 20, 21)], viewer(Pause(100, 107)))
    assert (found["a"].longest, found["b"].longest) == (0, 7)


def test_a_fault_that_failed_counts_only_where_somebody_waited() -> None:
    done = [Done("a", 10, 11, "OSError: no"), Done("b", 20, 21, "OSError: no")]
    assert costs(done, viewer(Pause(20, 22))) == {"b": Cost("b", 1, 1, 2, 2)}


# --- what grows ----------------------------------------------------------------------------------


def test_a_run_is_held_by_its_first_and_its_last_third() -> None:
    """Medians: one look during a fault tells nothing; the peak tells of it."""
    memory = [10, 99, 12, 500, 1, 400, 30, 31, 77]
    samples = [Sample(n, {"web": {"memory_mb": float(mb)}}) for n, mb in enumerate(memory)]
    assert trends(samples) == [Trend("web", "memory_mb", first=12, last=31, peak=500)]


def test_roles_and_figures_are_told_apart() -> None:
    """What was not there all the time (a process between two lives) is taken from when it was."""
    first = {"web": {"threads": 4.0, "descriptors": 7.0}, "encoder": {"threads": 2.0}}
    samples = [Sample(0, first), Sample(1, {"late": {"threads": 1.0}}), Sample(2, first)]
    assert trends([*samples, Sample(3, {}), Sample(4, first), Sample(5, first)]) == [
        Trend("encoder", "threads", 2, 2, 2),
        Trend("web", "descriptors", 7, 7, 7),
        Trend("web", "threads", 4, 4, 4),
    ]


@pytest.mark.parametrize("first", [0.0, 20.0, 400.0])
@pytest.mark.parametrize("figure", NOISE)
def test_a_figure_may_grow_by_a_tenth_and_what_noise_may_be(figure: str, first: float) -> None:
    limit = (
        first
        + first * 0.1
        + {"memory_mb": 8, "descriptors": 8, "threads": 4, "media_mb": 2}[figure]
    )
    assert not Trend("web", figure, first, limit - 0.01, peak=10 * limit).grows
    assert Trend("web", figure, first, limit + 0.01, peak=limit + 0.01).grows
    assert not Trend("web", figure, first, 0, peak=first).grows, "less is no growth"


# --- what is wrong -------------------------------------------------------------------------------

WELL = Cost("ffmpeg killed", 3, 1, 0.0, LONGEST_PAUSE_SECONDS)
STEADY = Trend("web", "threads", 18, 18, 26)


def test_a_run_that_went_well_has_nothing_wrong() -> None:
    assert _wrong([viewer()], [WELL], [STEADY]) == []


def test_each_kind_of_wrong_is_said_with_its_figures() -> None:
    slow = Cost("web reloaded", 3, 3, 1.0, LONGEST_PAUSE_SECONDS + 0.5)
    growing = Trend("encoder", "memory_mb", 50, 90, 91)
    watching = [viewer(broken=("v0/5.m4s has other bytes (8)", "again")), viewer(parts=0)]
    assert _wrong(watching, [WELL, slow], [STEADY, growing]) == [
        "broken: v0/5.m4s has other bytes (8)",
        "broken: again",
        "grows: encoder memory_mb 50.0 -> 90.0",
        "too long: web reloaded cost 12.5 s, the limit is 12",
        "nothing came: http://x/media.m3u8",
    ]


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ([], ["no flash of the test card was seen"]),
        ([()], ["no flash of the test card was seen"]),
        ([(0.0, 0.01, -0.01), (0.04,), (-0.04,)], []),
        ([(0.0, 0.0, 0.36)], []),  # one flash, at the edge of a fault
        ([(0.0,), (), (0.0, 0.05, 0.06)], ["lips are off by 0.050 s"]),
        ([(0.05, 0.05), (-0.08, -0.08)], ["lips are off by -0.080 s"]),
    ],
)
def test_lips_are_out_of_step_where_most_flashes_of_one_time_are(
    seen: list[tuple[float, ...]], said: list[str]
) -> None:
    assert out_of_sync([Lips(30.0 * n, offsets) for n, offsets in enumerate(seen)]) == said
