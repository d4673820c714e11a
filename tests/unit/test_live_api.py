"""``WS /api/streams/<id>/pcm`` as an ASGI server drives it, down to the queue of a worker."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from inference.speech_socket import SpeechSocket
from inference.utterances import Utterances
from journal import Journal
from rawmedia import MediaFormat
from server import live_asgi
from server.app import create_app
from server.asgi import Message
from server.coalescer import Coalescer
from server.counts import Table
from server.metrics import LIVE_METRICS, web_metrics

TOKEN = "a token of sixteen characters"
RATE = 16_000
PIECE = bytes(2 * RATE // 50)
LONGEST = 5.0


class Speaker:
    """A client and the server's side of its connection, without a socket."""

    def __init__(self, stage: Stage, query: str = "", stream: str = "face", **headers: str) -> None:
        rows = {"host": "localhost", "upgrade": "websocket", "connection": "Upgrade"} | headers
        offered = headers.get("sec-websocket-protocol", "")
        self.scope = {
            "type": "websocket",
            "http_version": "1.1",
            "scheme": "ws",
            "path": f"/api/streams/{stream}/pcm",
            "query_string": query.encode(),
            "headers": [(key.encode(), value.encode()) for key, value in rows.items()],
            "subprotocols": [name.strip() for name in offered.split(",") if name],
            "client": ("127.0.0.1", 5),
            "server": ("127.0.0.1", 8000),
        }
        self.stage = stage
        self.code, self.reason, self.protocol = 0, "", ""
        self.accepted = False

    async def __aenter__(self) -> Speaker:
        self._sent: asyncio.Queue[Message] = asyncio.Queue()
        self._got: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._sent.put_nowait({"type": "websocket.connect"})
        self._over = asyncio.Event()
        serving = self.stage.coalescer(self.scope, self._sent.get, self._send)
        self._serving = asyncio.ensure_future(serving)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._sent.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await asyncio.wait_for(self._serving, LONGEST)

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.accept":
            self.accepted, self.protocol = True, message["subprotocol"]
        elif kind == "websocket.send":
            self._got.put_nowait(json.loads(message["text"]))
        else:
            self.code, self.reason = message["code"], message.get("reason", "")
            self._over.set()

    async def told(self) -> dict[str, Any]:
        return await asyncio.wait_for(self._got.get(), LONGEST)

    def say(self, data: bytes) -> None:
        self._sent.put_nowait({"type": "websocket.receive", "bytes": data})

    def write(self, text: str) -> None:
        self._sent.put_nowait({"type": "websocket.receive", "text": text})

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    async def closed(self) -> tuple[int, str]:
        await asyncio.wait_for(self._over.wait(), LONGEST)
        return self.code, self.reason


class Stage:
    """A stream's files as its processes leave them, and a web process in front."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.run = root / "run"
        self.run.mkdir()
        (root / "live").mkdir()
        figures = {"id": "face", "state": "live", "processes": [{"name": "inference"}]}
        (self.run / "face.json").write_text(json.dumps(figures))
        self.table = Table()
        self.flask = create_app(Settings(**settings), root)
        self.coalescer = Coalescer(
            self.flask.wsgi_app, threads=8, body_bytes=100, media_root=root, row=self.table.row()
        )
        self.utterances: Utterances | None = None

    def listen(self, *, mute: bool = False) -> None:
        media = MediaFormat(64, 64, 25)
        folder, journal = self.run / "face.speech", Journal(self.run / "face.events")
        if not mute:
            self.utterances = Utterances(media, folder, 30, journal)
        SpeechSocket(self.run / "face.say", self.utterances, 40).start()

    def counted(self) -> dict[str, float]:
        names = {name for name, *_ in LIVE_METRICS}
        told = (metric.samples[0] for metric in web_metrics(self.table.sums()) if metric.samples)
        return {
            sample.name.removeprefix("lipstream_").removesuffix("_total"): sample.value
            for sample in told
            if sample.name.removeprefix("lipstream_").removesuffix("_total") in names
        }


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    made = Stage(tmp_path)
    made.listen()
    return made


def run(talk: Awaitable[None]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(talk, 2 * LONGEST)

    asyncio.run(bounded())


def refused(stage: Stage, query: str = "", stream: str = "face", **headers: str) -> tuple[int, str]:
    """How a connection ends that should not have begun."""
    found: list[tuple[int, str]] = []

    async def talk() -> None:
        async with Speaker(stage, query, stream, **headers) as speaker:
            found.append(await speaker.closed())
            assert speaker.accepted, "a page could not read why"

    run(talk())
    return found[0]


def test_sound_reaches_the_face_and_is_accounted_for(stage: Stage) -> None:
    async def talk() -> None:
        async with Speaker(stage, f"rate={RATE}") as speaker:
            welcome = await speaker.told()
            assert set(welcome) == {"utterance", "jitter_ms"}
            for _ in range(10):
                speaker.say(PIECE)
            line = None
            while line is None:
                assert stage.utterances
                line = stage.utterances.take()
                await asyncio.sleep(0.005)
            for place in range(4):
                line.samples(place)
            speaker.say(PIECE)  # it is told when something comes
            assert (await speaker.told())["heard"] == pytest.approx(0.2, abs=0.05)

    run(talk())
    assert stage.counted()["live_speech_seconds"] == pytest.approx(0.2, abs=0.05)
    assert stage.counted()["live_speech_underruns"] == 0
    assert stage.table.sums().status("api", "1xx") == 1


def test_one_speaks_and_the_other_is_told(stage: Stage) -> None:
    async def talk() -> None:
        async with Speaker(stage) as first:
            await first.told()
            async with Speaker(stage) as second:
                code, reason = await second.closed()
                assert code == 4409
                assert reason.startswith("somebody speaks through this face already")
            async with Speaker(stage, "interrupt=1") as third:
                await third.told()
                assert (await first.closed())[0] == 4409

    run(talk())


def test_silence_is_asked_for_over_http(stage: Stage) -> None:
    async def talk() -> None:
        async with Speaker(stage) as speaker:
            await speaker.told()
            asked = stage.flask.test_client().delete
            await asyncio.to_thread(asked, "/api/streams/face/speech")
            code, reason = await speaker.closed()
            assert (code, reason.partition(":")[0]) == (4409, "interrupted")

    run(talk())


def test_who_speaks_on_is_told_why_it_is_over(stage: Stage) -> None:
    """Sound that comes at that very moment takes no last word with it."""

    utterances = stage.utterances
    assert utterances is not None

    async def talk() -> None:
        for _ in range(20):
            async with Speaker(stage, "interrupt=1") as speaker:
                await speaker.told()
                asking = asyncio.ensure_future(asyncio.to_thread(utterances.hush))
                pieces = 400  # of 2 ms: more than a second of them would be too much at once
                while not speaker.is_over:
                    if pieces:
                        speaker.say(bytes(64))
                        pieces -= 1
                    await asyncio.sleep(0)
                await asking
                assert (await speaker.closed())[0] == 4409

    run(talk())


@pytest.mark.parametrize("rate", ["7999", "48001", "96000", "-1", "1e4", "", "١٦٠٠٠", "9" * 50])
def test_a_rate_that_is_none(stage: Stage, rate: str) -> None:
    code, reason = refused(stage, f"rate={rate}")
    assert code == 4400
    assert "hertz from 8000 to 48000" in reason


def test_no_such_stream(stage: Stage) -> None:
    assert refused(stage, stream="other") == (
        4404,
        "there is no stream 'other'; /api/streams lists them",
    )


def test_a_source_with_a_sound_of_its_own(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.listen(mute=True)
    assert refused(stage) == (4409, "a camera cannot be spoken through")


def test_a_face_that_is_away(tmp_path: Path) -> None:
    code, reason = refused(Stage(tmp_path))
    assert code == 1012
    assert "connect again" in reason


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [(b"\0" * 641, 1007, "641 bytes"), (b"\0", 1007, "1 bytes"), ("hello", 1003, "a text came")],
)
def test_what_is_no_sound(stage: Stage, data: bytes | str, code: int, words: str) -> None:
    async def talk() -> None:
        async with Speaker(stage) as speaker:
            await speaker.told()
            if isinstance(data, str):
                speaker.write(data)
            else:
                speaker.say(data)
            found, reason = await speaker.closed()
            assert found == code
            assert words in reason
        assert stage.utterances
        stage.utterances.open_live(RATE, interrupt=False)  # the floor is free again

    run(talk())


def test_nothing_at_all_is_no_mistake(stage: Stage) -> None:
    async def talk() -> None:
        async with Speaker(stage) as speaker:
            await speaker.told()
            speaker.say(b"")
            speaker.say(PIECE)
            speaker.say(b"\0")
            assert (await speaker.closed())[0] == 1007

    run(talk())


def test_who_sends_too_fast_is_sent_away(stage: Stage) -> None:
    async def talk() -> None:
        async with Speaker(stage) as speaker:
            await speaker.told()
            for _ in range(2000):
                speaker.say(PIECE)
                await asyncio.sleep(0)
                if speaker.code:
                    break
            code, reason = await speaker.closed()
            assert code == 1013
            assert "1 s is the most" in reason

    run(talk())
    assert stage.counted()["live_speech_dropped_seconds"] > 0


def test_who_is_gone_without_a_word(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_asgi, "IDLE_SECONDS", 0.1)

    async def talk() -> None:
        async with Speaker(stage) as speaker:
            await speaker.told()
            code, reason = await speaker.closed()
            assert code == 4408
            assert "send silence as sound" in reason

    run(talk())


@pytest.fixture
def dumb(tmp_path: Path) -> Iterator[Stage]:
    """A worker that greets, and then takes nothing."""
    stage = Stage(tmp_path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(stage.run / "face.say"))
    listener.listen()
    links: list[socket.socket] = []

    def greet() -> None:
        link, _ = listener.accept()
        links.append(link)
        link.sendall(b'{"ok": true, "utterance": "u1", "jitter_ms": 120}\n')

    threading.Thread(target=greet, daemon=True).start()
    stage.links = links  # type: ignore[attr-defined]
    yield stage
    for link in (*links, listener):
        link.close()


def test_a_worker_that_hangs(dumb: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_asgi, "STUCK_SECONDS", 0.2)
    monkeypatch.setattr(live_asgi, "GOODBYE_SECONDS", 0.1)

    async def talk() -> None:
        async with Speaker(dumb) as speaker:
            await speaker.told()
            for _ in range(40):
                speaker.say(bytes(64_000))
            code, reason = await speaker.closed()
            assert (code, reason.partition(";")[0]) == (1013, "the face takes no sound")

    run(talk())


def test_a_worker_that_dies(dumb: Stage) -> None:
    async def talk() -> None:
        async with Speaker(dumb) as speaker:
            await speaker.told()
            dumb.links[0].close()  # type: ignore[attr-defined]
            code, reason = await speaker.closed()
            assert code == 1012
            assert "restarted" in reason

    run(talk())


def test_a_web_process_that_ends(stage: Stage) -> None:
    async def talk() -> None:
        async with Speaker(stage) as speaker:
            await speaker.told()
            stage.coalescer.close()
            assert await speaker.closed() == (1012, "this process ends; connect again")

    run(talk())


def test_more_speakers_than_may(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_asgi, "SPEAKERS_AT_ONCE", 0)
    assert refused(stage)[0] == 4503


# --- who may -------------------------------------------------------------------------------------


def bearer(token: str) -> str:
    return "bearer." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {TOKEN}"},
        {"sec-websocket-protocol": f"lipstream.pcm, {bearer(TOKEN)}", "origin": "http://else.com"},
    ],
)
def test_a_token_is_taken_as_a_header_or_as_a_protocol(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    stage = Stage(tmp_path, api_token=TOKEN)
    stage.listen()

    async def talk() -> None:
        async with Speaker(stage, **headers) as speaker:
            await speaker.told()
            wanted = "lipstream.pcm" if "sec-websocket-protocol" in headers else None
            assert speaker.protocol == wanted, "a browser refuses any other"

    run(talk())


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer no"},
        {"sec-websocket-protocol": bearer("wrong")},
        {"sec-websocket-protocol": "bearer.!!!"},
        {"sec-websocket-protocol": "lipstream.pcm"},
    ],
)
def test_without_the_token_nobody_speaks(tmp_path: Path, headers: dict[str, str]) -> None:
    code, reason = refused(Stage(tmp_path, api_token=TOKEN), **headers)
    assert code == 4401
    assert "Authorization" in reason


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://localhost:81"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"host": "evil.example"},
    ],
)
def test_no_page_from_elsewhere_speaks(stage: Stage, headers: dict[str, str]) -> None:
    assert refused(stage, **headers)[0] == 4403


def test_the_own_page_does(stage: Stage) -> None:
    async def talk() -> None:
        async with Speaker(stage, origin="http://localhost") as speaker:
            await speaker.told()

    run(talk())


# --- without a WebSocket -------------------------------------------------------------------------

UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade"}


def test_a_request_that_is_no_websocket(stage: Stage) -> None:
    answer = stage.flask.test_client().get("/api/streams/face/pcm")
    assert answer.status_code == 426
    assert answer.headers["Upgrade"] == "websocket"


@pytest.mark.parametrize("headers", [{}, UPGRADE])
def test_the_threaded_worker_says_what_is_missing(tmp_path: Path, headers: dict[str, str]) -> None:
    client = Stage(tmp_path, web_worker="gthread").flask.test_client()
    answer = client.get("/api/streams/face/pcm", headers=headers)
    assert answer.status_code == 501
    assert "web_worker = asgi" in answer.get_json()["detail"]
