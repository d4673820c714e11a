"""Faces of one process: the weights are there once, and what a face had for itself goes with it."""

from __future__ import annotations

import gc
import json
import logging
import os
import subprocess
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config import SILENT, Settings
from inference.ditto import ensemble as module
from inference.ditto.ensemble import Ensemble
from inference.ditto.live import make_speaker
from inference.ditto.networks import NAMES
from inference.engines.errors import NetworkFailed, RuntimeUnusable
from inference.engines.onnx_engine import OnnxEngine, OnnxNetwork
from rawmedia import Frame, MediaFormat

MEDIA = MediaFormat(256, 144, 25)
WAIT_SECONDS = 120.0


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """On the CPU because it was asked for, and silent until it is spoken to."""
    return replace(settings, runtime="onnx-cpu", audio=SILENT)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[OnnxEngine]:
    """The engines that are opened."""
    opened: list[OnnxEngine] = []

    def keep(*_arguments: Any, **_settings: Any) -> OnnxEngine:
        opened.append(OnnxEngine(threads=1))
        return opened[-1]

    monkeypatch.setattr(module, "runtime_for", keep)
    return opened


def loaded(caplog: pytest.LogCaptureFixture) -> Counter[str]:
    """How often the weights of each network came from its file."""
    facts = (getattr(record, "lipstream_facts", {}) for record in caplog.records)
    return Counter(fact["network"] for fact in facts if "network" in fact)


def test_two_faces_share_the_weights_and_look_as_if_each_was_alone(
    settings: Settings, made: list[OnnxEngine], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ensemble = Ensemble(settings)
    ensemble.prewarm()
    assert set(loaded(caplog).values()) == {1}
    assert len(loaded(caplog)) == len(NAMES)
    speakers = [make_speaker(settings, MEDIA, engine=ensemble.engine) for _ in range(2)]
    alone = make_speaker(settings, MEDIA)

    def picture(speaker: Any) -> Frame:
        frame = np.zeros((MEDIA.height, MEDIA.width, 3), np.uint8)
        speaker.render(frame, np.zeros((MEDIA.samples_per_unit, 1), np.int16))
        return frame

    for _ in range(3):
        wanted = picture(alone)
        assert all(np.array_equal(picture(speaker), wanted) for speaker in speakers)
    speakers[0].close()
    assert np.array_equal(picture(speakers[1]), picture(alone)), "the other goes on"
    alone.close()
    speakers[1].close()
    make_speaker(settings, MEDIA, engine=ensemble.engine).close()
    assert set(loaded(caplog).values()) == {1}, "weights stay when nobody is there"
    assert len(made) == 1, "of the three that shared it; the one that was alone has its own"


def test_what_a_face_had_for_itself_goes_with_it(
    settings: Settings, made: list[OnnxEngine]
) -> None:
    ensemble = Ensemble(settings)
    ensemble.prewarm()
    (engine,) = made
    for _ in range(2):
        speaker = make_speaker(settings, MEDIA, engine=ensemble.engine)
        other = make_speaker(settings, MEDIA, engine=ensemble.engine)
        frame = np.zeros((MEDIA.height, MEDIA.width, 3), np.uint8)
        for face in (speaker, other):
            face.render(frame, np.zeros((MEDIA.samples_per_unit, 1), np.int16))
        assert (len(engine._networks), len(engine._uploads)) == (2 * len(NAMES), 2)
        gone = weakref.ref(speaker)
        speaker.close()
        assert (len(engine._networks), len(engine._uploads)) == (len(NAMES), 1)
        other.close()
        assert (len(engine._networks), len(engine._uploads)) == (len(NAMES), 0), "the weights"
        del speaker, other, face
        gc.collect()
        assert gone() is None


def test_a_process_loads_before_the_first_face_which_then_loads_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    """As a service starts it where it is sure to be needed."""
    argv = [sys.executable, "-m", "inference", "sessions"]
    with subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **settings.to_environment()},
        text=True,
        bufsize=1,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        patience = threading.Timer(WAIT_SECONDS, process.kill)  # then its lines end, too
        patience.daemon = True
        patience.start()
        process.stdin.write(json.dumps({"prewarm": True}) + "\n")
        before = until("prewarmed", process.stderr)
        wish = {"open": 1, "socket": str(tmp_path / "one.sock"), "id": "one"}
        process.stdin.write(json.dumps({**wish, "settings": settings.to_environment()}) + "\n")
        after = until("source_ready", process.stderr)
        process.stdin.close()
        assert process.wait() == 0
        patience.cancel()
    read = Counter(line["network"] for line in before if line["event"] == "weights_loaded")
    assert (len(read), set(read.values())) == (len(NAMES), {1})
    events = [line["event"] for line in after]
    assert "face_loaded" in events
    assert "weights_loaded" not in events


def until(event: str, stream: Iterable[str]) -> list[dict[str, Any]]:
    """The lines of a log up to an event, without what libraries write."""
    lines: list[dict[str, Any]] = []
    for line in stream:
        if line.startswith("{"):
            lines.append(json.loads(line))
            if lines[-1]["event"] == event:
                return lines
    raise AssertionError(f"it ended before {event}: {lines}")


def test_a_cpu_is_for_those_who_asked_for_it(settings: Settings) -> None:
    ensemble = Ensemble(settings)
    assert ensemble.engine(settings).name == "onnx-cpu"
    with pytest.raises(RuntimeUnusable, match="set engine to ditto"):
        ensemble.engine(replace(settings, engine="auto"))


def test_whether_the_engine_runs_anything_at_all(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble = Ensemble(settings)
    assert ensemble.works(), "none is open yet, so none is broken"
    ensemble.prewarm()
    assert ensemble.works()

    def fail(*_arguments: Any) -> Any:
        raise NetworkFailed("stitch_network", "an illegal memory access was encountered")

    monkeypatch.setattr(OnnxNetwork, "run", fail)
    assert not ensemble.works()
