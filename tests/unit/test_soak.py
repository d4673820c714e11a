"""What a soak counts as a fault that was done, and when lips are out of step for it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from benchmarks.soak import out_of_sync, undone
from benchmarks.soak_faults import FULL, Done, Faults
from benchmarks.soak_lips import Lips


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
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(faults.do_for_ever(0.01), 0.3)

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
