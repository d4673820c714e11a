"""The published description and the service say the same: routes, bodies, every answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.exceptions import RequestTimeout
from werkzeug.test import TestResponse

from config import Settings
from encoder.errors import EncoderError
from encoder.packager import PLAYLIST_NAME
from server.app import create_app
from server.control import Command
from server.errors import UploadRefused, WorkerAway
from server.events import FOLLOWED
from server.openapi import PATH, describe
from tests.security import files

TOKEN = "t" * 32
METHODS = ("GET", "POST", "DELETE", "PUT", "PATCH")
Asking = Callable[["Service"], TestResponse]


class Service:
    """An application whose supervisor says what a test wishes."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
        self.root, self.monkeypatch = root, monkeypatch
        self.reply: Command = {"ok": True}
        for name in ("live/demo/v0", "run"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "run/demo.json").write_text(
            '{"id": "demo", "state": "live", "part_target_seconds": 1000}'
        )
        (root / "live/demo/v0" / PLAYLIST_NAME).write_text("#EXTM3U\n")
        self.app: Flask = create_app(Settings(**changes), root)
        monkeypatch.setattr("server.api.send", lambda *_: self.reply)

    def ask(self, method: str, path: str, **more: Any) -> TestResponse:
        return self.app.test_client().open(path, method=method, **more)

    def refuse(self, status: int) -> Service:
        self.reply = {"ok": False, "status": status, "error": "no"}
        return self

    def patch(self, name: str, error: Exception) -> Service:
        def fail(*_: object, **__: object) -> None:
            raise error

        self.monkeypatch.setattr(name, fail)
        return self

    def worker(self, reply: Command | Exception) -> Service:
        """The face of the stream says so, or does not answer."""

        def ask(*_: object) -> Command:
            if isinstance(reply, Exception):
                raise reply
            return dict(reply)

        self.monkeypatch.setattr("server.speech.SpeechLink.ask", ask)
        return self

    def listened(self) -> Service:
        """Others listen already."""
        self.app.test_client().get(EVENTS, buffered=False)
        return self

    def over(self) -> Service:
        (self.root / "run/demo.json").write_text('{"id": "demo", "state": "ended"}')
        return self

    def stale(self) -> Service:
        (self.root / "live/demo/v0" / PLAYLIST_NAME).unlink()
        return self

    def upload(self) -> str:
        answer = self.ask("POST", "/upload", data=files.picture())
        return f"/api/uploads/{answer.get_json()['id']}"

    def full(self) -> Service:
        class Room:
            f_blocks, f_bavail, f_frsize = 1000, 1, 4096

        self.monkeypatch.setattr("server.upload_store.os.statvfs", lambda _: Room)
        return self


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in describe(Settings())["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield method.upper(), path, operation


NO_FFMPEG = EncoderError("there is none")
UNKNOWN = "/api/uploads/" + "0" * 32


def _uploading(path: str) -> dict[tuple[str, str, int], Asking]:
    def post(data: bytes) -> Asking:
        return lambda s: s.ask("POST", path, data=data)

    return {
        ("POST", path, 201): post(files.picture()),
        ("POST", path, 400): post(b""),
        ("POST", path, 408): lambda s: s.patch(
            "server.uploads.receive", RequestTimeout("too slow")
        ).ask("POST", path, data=b"x"),
        ("POST", path, 413): lambda s: s.ask("POST", path, data=bytes(21_000_000)),
        ("POST", path, 415): post(b"<svg/>"),
        ("POST", path, 422): post(files.png_bomb(60_000, 60_000)),
        ("POST", path, 507): lambda s: s.full().ask("POST", path, data=b"x"),
        ("POST", path, 503): _while_others_upload(path),
    }


def _while_others_upload(path: str) -> Asking:
    def ask(service: Service) -> TestResponse:
        busy = lambda *_: type("Busy", (), {"acquire": lambda *_, **__: False})()  # noqa: E731
        service.monkeypatch.setattr("server.uploads.threading.BoundedSemaphore", busy)
        again = Service(service.root, service.monkeypatch)
        return again.ask("POST", path, data=b"x")

    return ask


FACE = "/api/streams/{stream}/face"
SPEECH, EVENTS = "/api/streams/demo/speech", "/api/streams/demo/events"
LIVE, PCM = "/api/streams/demo/pcm", "/api/streams/{stream}/pcm"
SAID = {
    "ok": True,
    "utterance": "u1",
    "starts_in_seconds": 0.1,
    "duration_seconds": 1.0,
    "queued_seconds": 1.0,
}
FULL = {"ok": False, "refused": "full", "error": "too much waits", "wait_seconds": 3.2}
MUTE = {"ok": False, "refused": "mute", "error": "a camera cannot be spoken through"}


def _speaking() -> dict[tuple[str, str, int], Asking]:
    def ask(method: str, reply: Command | Exception, path: str = SPEECH, **more: Any) -> Asking:
        return lambda s: s.worker(reply).ask(method, path, **more)

    place = "/api/streams/{stream}/speech"
    wav: dict[str, Any] = {"data": files.sound(), "content_type": "audio/wav"}
    away, dropped = WorkerAway(OSError("no socket")), {"ok": True, "dropped": ["u1"]}
    answers: dict[tuple[str, str, int], Asking] = {
        ("GET", place, 200): ask("GET", {"ok": True, "queued_seconds": 1.0}),
        ("DELETE", place, 200): ask("DELETE", dropped),
        ("POST", place, 202): ask("POST", SAID, **wav),
        ("POST", place, 400): ask("POST", SAID, json={}),
        ("POST", place, 408): lambda s: s.patch(
            "server.speech_intake._receive", RequestTimeout("too slow")
        ).ask("POST", SPEECH, **wav),
        ("POST", place, 413): ask("POST", SAID, data=bytes(33_000_000), content_type="audio/wav"),
        ("POST", place, 415): ask("POST", SAID, data=b"<svg/>", content_type="audio/wav"),
        ("POST", place, 422): ask("POST", SAID, json={"text": "...", "voice": "nobody"}),
        ("POST", place, 507): lambda s: s.patch(
            "server.speech_intake._receive", UploadRefused(507, "no room")
        ).ask("POST", SPEECH, **wav),
    }
    bodies: dict[str, dict[str, Any]] = {"GET": {}, "DELETE": {}, "POST": wav}
    for method, more in bodies.items():
        answers[method, place, 404] = ask(method, SAID, "/api/streams/x/speech", **more)
        answers[method, place, 409] = ask(method, MUTE, **more)
        answers[method, place, 503] = ask(method, away, **more)
    return answers


def _changing_face() -> dict[tuple[str, str, int], Asking]:
    def put(reply: Command | Exception, stream: str = "demo", **more: Any) -> Asking:
        given: dict[str, Any] = more or {"json": {"image": "presenter"}}
        return lambda s: s.worker(reply).ask("PUT", f"/api/streams/{stream}/face", **given)

    changed = {"ok": True, "change": "f1", "notes": []}
    no_face = {"ok": False, "refused": "file", "error": "no face found"}
    large: dict[str, Any] = {"data": bytes(70_000), "content_type": "application/json"}
    return {
        ("PUT", FACE, 202): put(changed),
        ("PUT", FACE, 400): put(changed, json={"image": "face.png"}),
        ("PUT", FACE, 404): put(changed, "x"),
        ("PUT", FACE, 409): put({"ok": False, "refused": "engine", "error": "no photo"}),
        ("PUT", FACE, 413): put(changed, **large),
        ("PUT", FACE, 422): put(no_face),
        ("PUT", FACE, 503): put(WorkerAway(OSError("no socket"))),
    }


def test_a_full_queue_answers_as_the_gate_does(service: Service) -> None:
    wav: dict[str, Any] = {"data": files.sound(), "content_type": "audio/wav"}
    answer = service.worker(FULL).ask("POST", SPEECH, **wav)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "4")


# For each answer that is described, a request that gets it.
ANSWERS: dict[tuple[str, str, int], Asking] = {
    ("GET", PATH, 200): lambda s: s.ask("GET", PATH),
    ("GET", "/api/streams", 200): lambda s: s.ask("GET", "/api/streams"),
    ("POST", "/api/streams", 201): lambda s: s.ask("POST", "/api/streams", json={"id": "a"}),
    ("POST", "/api/streams", 400): lambda s: s.ask("POST", "/api/streams", json={"fps": "x"}),
    ("POST", "/api/streams", 409): lambda s: s.refuse(409).ask("POST", "/api/streams", json={}),
    ("POST", "/api/streams", 413): lambda s: s.ask(
        "POST", "/api/streams", data=bytes(70_000), content_type="application/json"
    ),
    ("POST", "/api/streams", 503): lambda s: s.refuse(503).ask("POST", "/api/streams", json={}),
    ("GET", "/api/streams/{stream}", 200): lambda s: s.ask("GET", "/api/streams/demo"),
    ("GET", "/api/streams/{stream}", 404): lambda s: s.ask("GET", "/api/streams/x"),
    ("DELETE", "/api/streams/{stream}", 202): lambda s: s.ask("DELETE", "/api/streams/demo"),
    ("DELETE", "/api/streams/{stream}", 404): lambda s: s.ask("DELETE", "/api/streams/x"),
    ("DELETE", "/api/streams/{stream}", 503): lambda s: s.refuse(503).ask(
        "DELETE", "/api/streams/demo"
    ),
    **_speaking(),
    **_changing_face(),
    ("GET", PCM, 400): lambda s: s.ask("GET", f"{LIVE}?rate=7999"),
    ("GET", PCM, 404): lambda s: s.ask("GET", "/api/streams/x/pcm"),
    ("GET", PCM, 409): lambda s: s.over().ask("GET", LIVE),
    ("GET", PCM, 426): lambda s: s.ask("GET", LIVE),
    ("GET", PCM, 501): lambda s: Service(s.root, s.monkeypatch, web_worker="gthread").ask(
        "GET", LIVE
    ),
    ("GET", "/api/streams/{stream}/events", 200): lambda s: s.ask(
        "GET", EVENTS, environ_overrides={FOLLOWED: True}
    ),
    ("GET", "/api/streams/{stream}/events", 400): lambda s: s.ask("GET", f"{EVENTS}?after=x"),
    ("GET", "/api/streams/{stream}/events", 404): lambda s: s.ask("GET", "/api/streams/x/events"),
    ("GET", "/api/streams/{stream}/events", 503): lambda s: s.listened().ask("GET", EVENTS),
    ("GET", "/api/encoders", 200): lambda s: s.ask("GET", "/api/encoders"),
    ("GET", "/api/encoders", 503): lambda s: s.patch("server.api.trials", NO_FFMPEG).ask(
        "GET", "/api/encoders"
    ),
    **_uploading("/api/uploads"),
    **_uploading("/upload"),
    ("GET", "/api/uploads/{upload}", 200): lambda s: s.ask("GET", s.upload()),
    ("GET", "/api/uploads/{upload}", 404): lambda s: s.ask("GET", UNKNOWN),
    ("DELETE", "/api/uploads/{upload}", 204): lambda s: s.ask("DELETE", s.upload()),
    ("DELETE", "/api/uploads/{upload}", 404): lambda s: s.ask("DELETE", UNKNOWN),
    ("GET", "/api/limits", 200): lambda s: s.ask("GET", "/api/limits"),
    ("GET", "/access", 200): lambda s: s.ask("GET", "/access"),
    ("GET", "/healthz", 200): lambda s: s.ask("GET", "/healthz"),
    ("GET", "/readyz", 200): lambda s: s.ask("GET", "/readyz"),
    ("GET", "/readyz", 503): lambda s: s.stale().ask("GET", "/readyz"),
}
GUARDED = (401, 403, 429)


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    return Service(tmp_path, monkeypatch)


def test_routes_and_methods_are_those_described(service: Service) -> None:
    described = {(method, path) for method, path, _ in operations()}
    routes = {
        (method, rule.rule.replace("<", "{").replace(">", "}"))
        for rule in service.app.url_map.iter_rules()
        for method in (rule.methods or set()) & set(METHODS)
        if rule.rule.startswith(("/api", "/upload", "/access", "/healthz", "/readyz"))
    }
    assert described == routes


def test_every_answer_that_is_described_can_be_had() -> None:
    described = {
        (method, path, int(status))
        for method, path, operation in operations()
        for status in operation["responses"]
        if int(status) not in GUARDED
    }
    assert described == set(ANSWERS)


@pytest.mark.ffmpeg
@pytest.mark.parametrize("described", ANSWERS, ids=lambda key: "-".join(map(str, key)))
def test_it_is_had_as_described(service: Service, described: tuple[str, str, int]) -> None:
    method, path, status = described
    answer = ANSWERS[described](service)
    assert answer.status_code == status, answer.text
    kinds = describe(Settings())["paths"][path][method.lower()]["responses"][str(status)]
    assert (answer.mimetype in kinds["content"]) if "content" in kinds else not answer.data
    for header in kinds.get("headers", ()):
        assert header in answer.headers
    if status >= 400:
        problem = answer.get_json()
        assert problem["status"] == status
        assert len(problem["detail"]) > 1


@pytest.mark.parametrize(("method", "path", "operation"), list(operations()))
def test_what_the_gate_answers_is_described(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    operation: dict[str, Any],
) -> None:
    place = path.replace("{stream}", "x").replace("{upload}", "0" * 32)
    closed = Service(tmp_path, monkeypatch, api_token=TOKEN).ask(method, place)
    unnamed = Service(tmp_path, monkeypatch).ask(method, place, headers={"Host": "evil.example"})
    narrow = Service(tmp_path, monkeypatch, api_requests_per_minute=4)
    limited = [narrow.ask(method, place, data=b"") for _ in range(2)][-1]
    seen = {answer.status_code for answer in (closed, unnamed, limited)} & set(GUARDED)
    assert seen == {int(status) for status in operation["responses"]} & set(GUARDED)
    assert bool(seen) == ("security" not in operation)


def test_the_description_tells_of_the_settings(tmp_path: Path) -> None:
    told = describe(Settings(fps=30, api_token=TOKEN))
    wish = told["components"]["schemas"]["Wish"]["properties"]
    own = {item.name for item in fields(Settings) if item.metadata["per_stream"]}
    assert own | {"id", "engine", "source"} == set(wish)
    assert (wish["fps"]["default"], wish["fps"]["maximum"]) == (30, 60)
    assert wish["latency"]["enum"] == ["ultra", "low", "normal"]
    assert told["security"] == [{"token": []}]
    assert TOKEN not in str(told)
