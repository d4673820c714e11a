"""What a soak counts as a fault that was done, and what it says of the others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.soak import undone
from benchmarks.soak_faults import FULL, Done, Faults


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
