"""A device that is lost, late or never there is told once, and so is its return."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inference.devices import SILENT_SECONDS, Backoff, Devices, Outside
from inference.worker import Job, Told
from journal import Journal


class Listener:
    def __init__(self) -> None:
        self.told: list[tuple[str, str, str | None]] = []
        self.figures: dict[str, Any] = {}
        self.now = 0.0
        self.devices = Devices(Outside(self.tell, self.keep), lambda: self.now)

    def tell(self, kind: str, **facts: Any) -> None:
        self.told.append((kind, facts["device"], facts.get("reason")))

    def keep(self, figures: dict[str, Any]) -> None:
        self.figures = figures


def test_what_is_there_from_the_start_is_no_event() -> None:
    listener = Listener()
    camera = listener.devices.add("camera", "0")
    for _ in range(3):
        camera.gives()
    assert listener.told == []
    assert listener.figures == {"device_up": {"camera": 1}, "device_losses": {"camera": 0}}


def test_a_loss_and_a_return_are_told_once_each() -> None:
    listener = Listener()
    camera, microphone = (listener.devices.add(kind, "0") for kind in ("camera", "microphone"))
    microphone.gives()
    camera.gives()
    for _ in range(3):
        camera.lacks("it is gone")
    assert listener.figures == {
        "device_up": {"camera": 0, "microphone": 1},
        "device_losses": {"camera": 1, "microphone": 0},
    }
    camera.gives()
    camera.gives()
    assert listener.told == [
        ("source_stalled", "camera", "it is gone"),
        ("source_recovered", "camera", None),
    ]
    assert listener.figures["device_up"]["camera"] == 1


def test_one_that_was_never_there_is_told_and_so_is_its_coming() -> None:
    listener = Listener()
    camera = listener.devices.add("camera", "0")
    camera.lacks("it cannot be opened")
    camera.gives()
    assert [kind for kind, *_ in listener.told] == ["source_stalled", "source_recovered"]


def test_silence_is_a_loss() -> None:
    listener = Listener()
    camera = listener.devices.add("camera", "0")
    for at in (0.0, 1.0, 2.0):
        listener.now = at
        camera.gives()
        camera.look()
    listener.now = 2.0 + SILENT_SECONDS
    camera.look()
    assert listener.told == []
    listener.now += 0.1
    camera.look()
    camera.look()
    assert listener.told == [("source_stalled", "camera", "nothing came for 3 s")]


def test_one_that_says_nothing_from_the_start_is_a_loss_too() -> None:
    listener = Listener()
    camera = listener.devices.add("camera", "0")
    listener.now = SILENT_SECONDS + 0.1
    camera.look()
    assert [kind for kind, *_ in listener.told] == ["source_stalled"]


def test_what_comes_and_goes_is_waited_for_longer_and_longer() -> None:
    backoff = Backoff()
    assert [backoff.after(seconds) for seconds in (0, 0, 1, 1, 0, 0, 0)] == [
        *(0.5, 1, 2, 4, 8, 10, 10)
    ]
    assert backoff.after(60) == 0.5, "it was there"
    assert backoff.after(0) == 1


def test_a_worker_puts_it_into_the_journal_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text('{"msn": 7, "media_seconds": 13.5, "fps": 25}')
    job = Job(tmp_path / "demo.sock", "demo")
    told = Told(job, job.journal)
    devices = Devices(Outside(told.tell, job.tell_figures))
    devices.add("camera", "rtsp://10.0.0.9/live").lacks("it cannot be opened")
    (event,) = Journal(tmp_path / "demo.events").after(0)
    assert event.kind == "source_stalled"
    assert (
        event.facts.items()
        >= {
            "device": "camera",
            "called": "rtsp://10.0.0.9/live",
            "reason": "it cannot be opened",
            "msn": 7,
            "media_seconds": 13.5,
        }.items()
    )
    assert (tmp_path / "demo.face").read_text() == (
        '{"device_up": {"camera": 0}, "device_losses": {"camera": 1}}'
    )
