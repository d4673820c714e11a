"""The calls of a recording, in their order, and what is left when one fails; on a stand-in."""

from __future__ import annotations

from typing import Any

import pytest

from inference.engines import cuda_graph
from inference.engines.cuda_graph import CudaFailed


class Driver:
    """Answers 0 to everything but ``failing``."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failing = ""

    def __getattr__(self, name: str) -> Any:
        def call(*_arguments: object) -> int:
            self.calls.append(name)
            return 900 if name == self.failing else 0

        return call


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    made = Driver()
    monkeypatch.setattr(cuda_graph, "_driver", lambda: made)
    return made


def test_a_recording_is_made_launched_and_released(driver: Driver) -> None:
    cuda_graph.begin(7)
    graph = cuda_graph.end(7)
    graph.launch(7)
    graph.launch(7)
    graph.release()
    assert driver.calls == [
        "cuStreamBeginCapture_v2",
        "cuStreamEndCapture",
        "cuGraphInstantiateWithFlags",
        "cuGraphDestroy",
        "cuGraphLaunch",
        "cuGraphLaunch",
        "cuGraphExecDestroy",
    ]


@pytest.mark.parametrize(
    ("failing", "destroyed"),
    [("cuStreamEndCapture", False), ("cuGraphInstantiateWithFlags", True)],
)
def test_one_that_fails_leaves_nothing(driver: Driver, failing: str, destroyed: bool) -> None:
    driver.failing = failing
    cuda_graph.begin(7)
    with pytest.raises(CudaFailed, match=f"{failing} answered 900"):
        cuda_graph.end(7)
    assert ("cuGraphDestroy" in driver.calls) == destroyed
