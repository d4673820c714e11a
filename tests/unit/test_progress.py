"""Long work off a terminal: a line now and then, and not one for each step."""

from __future__ import annotations

import pytest

from inference.progress import Progress


def test_a_log_gets_a_line_each_half_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    with Progress(40, "networks", "network", lambda: now[0]) as progress:
        for step in range(4):
            now[0] += 10
            progress.step(f"stitch-{step}")
        assert capsys.readouterr().err == "networks: 3 of 40, network: stitch-2\n"
        now[0] += 26
        progress.reach(30)
        progress.reach(29)  # it never goes back
        assert capsys.readouterr().err == "networks: 30 of 40, network\n"


def test_short_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(2, "render", "pictures") as progress:
        progress.step()
        progress.step()
    assert capsys.readouterr().err == ""
