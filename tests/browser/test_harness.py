"""The harness keeps its own promises: nothing is skipped in silence, nothing is left running."""

from __future__ import annotations

import subprocess

import pytest

from tests.browser import need
from tests.browser.processes import kill_session, members
from tests.browser.watching import until


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(need, "BESIDE_LIBRARIES", ())
    return monkeypatch


def test_missing_program_skips_with_its_name(nowhere: pytest.MonkeyPatch) -> None:
    with pytest.raises(pytest.skip.Exception, match="chromium is not installed"):
        need.require("chromium")


def test_missing_program_fails_where_skips_are_forbidden(nowhere: pytest.MonkeyPatch) -> None:
    nowhere.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="skips are forbidden"):
        need.require("chromium")


def test_a_session_is_killed_with_its_process_groups() -> None:
    # Job control puts the child in a group of its own, as browsers do; both ignore SIGINT.
    script = 'trap "" INT; set -m; sleep 600 & echo ready; wait; sleep 600'
    shell = subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    assert shell.stdout is not None
    assert shell.stdout.readline() == b"ready\n"
    assert len(members(shell.pid)) == 2
    kill_session(shell.pid)
    until("nobody is left", lambda: members(shell.pid) == [], 5)
    shell.communicate()
