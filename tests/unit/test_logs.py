"""One line per event, whatever the facts contain."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading

import pytest
from gunicorn.config import Config

import config
import logs
from server.specs import WebSpec
from server.web import gunicorn_options

pytestmark = pytest.mark.usefixtures("loggers_as_before")

log = logging.getLogger("lipstream.test")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def said(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def test_text_is_one_readable_line() -> None:
    stream = io.StringIO()
    logs.configure("text", stream)
    logs.event(log, "encoder_started", pid=7, encoder="libx264", why="no GPU here")
    (line,) = said(stream)
    assert line[8:] == " info    encoder_started pid=7 encoder=libx264 why='no GPU here'"


def test_json_is_one_object() -> None:
    stream = io.StringIO()
    logs.configure("json", stream)
    logs.event(log, "encoder_ended", level=logging.ERROR, status=-9, path=logs)
    line = json.loads(stream.getvalue())
    assert (line["level"], line["event"], line["status"]) == ("error", "encoder_ended", -9)
    assert "module" in line["path"]  # what JSON does not know becomes text
    assert line["time"] > 0


@pytest.mark.parametrize(
    ("stream", "is_json"), [(Terminal(), False), (io.StringIO(), True)], ids=["terminal", "file"]
)
def test_auto_is_text_on_a_terminal_and_json_elsewhere(stream: io.StringIO, is_json: bool) -> None:
    logs.configure("auto", stream)
    logs.event(log, "hello")
    assert stream.getvalue().startswith("{") == is_json


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize(
    "fact", ["two\nlines", "a\r\nb", 'quoted "name"', "", "\x1b[2J", "tab\there", "\u2028"]
)
def test_no_fact_breaks_the_line(log_format: str, fact: str) -> None:
    """What ffmpeg or a viewer says must not look like a line of ours, or reach the terminal raw."""
    stream = io.StringIO()
    logs.configure(log_format, stream)
    logs.event(log, "ffmpeg_says", line=fact)
    text = stream.getvalue()
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    if log_format == "json":
        assert json.loads(text)["line"] == fact


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_an_exception_stays_in_its_line(log_format: str) -> None:
    stream = io.StringIO()
    logs.configure(log_format, stream)
    try:
        int("first line\nsecond line")
    except ValueError:
        log.exception("it_failed")
    (line,) = said(stream)
    assert "it_failed" in line
    assert "ValueError: invalid literal" in line


def test_what_is_bound_stands_in_every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_bound", {})
    stream = io.StringIO()
    logs.configure("json", stream)
    logs.bind(stream="demo")
    logs.event(log, "encoder_started", pid=7)
    log.warning("what a library says")
    logs.event(log, "stream_failed", stream="other")
    lines = [json.loads(line) for line in said(stream)]
    assert [line["stream"] for line in lines] == ["demo", "demo", "other"]


def test_what_is_bound_for_a_block_stands_in_its_lines_alone() -> None:
    stream = io.StringIO()
    logs.configure("json", stream)

    def tell() -> None:
        logs.event(log, "within")

    with logs.bound(stream="demo"), logs.bound(face="one"):
        thread = threading.Thread(target=logs.carries(tell))
        bare = threading.Thread(target=lambda: logs.event(log, "beside"))
    for each in (thread, bare):
        each.start()
        each.join()
    logs.event(log, "after")
    lines = [json.loads(line) for line in said(stream)]
    assert [(line["event"], line.get("stream"), line.get("face")) for line in lines] == [
        ("within", "demo", "one"),
        ("beside", None, None),
        ("after", None, None),
    ]


def test_an_event_without_end_does_not_fill_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, now = io.StringIO(), [100.0]
    logs.configure("json", stream)
    (handler,) = logging.getLogger().handlers
    handler.filters[:] = [logs.Bounded(lambda: now[0])]

    def complain() -> None:
        logs.event(log, "ffmpeg_says", line="deprecated pixel format")

    for _ in range(1000):
        complain()
    logs.event(log, "stream_live")  # others are not affected
    assert len(said(stream)) == logs.MOST_LINES + 1
    now[0] += logs.WINDOW_SECONDS
    complain()
    complain()
    last = [json.loads(line) for line in said(stream)[-2:]]
    assert last[0]["left_out"] == 1000 - logs.MOST_LINES
    assert "left_out" not in last[1]


@pytest.mark.parametrize(
    "line", ["Traceback (most recent call last):", "lipstream: no such photo", "[]", "", "\x1b[2J"]
)
def test_what_a_child_says_becomes_an_event_where_lines_are_json(line: str) -> None:
    stream = io.StringIO()
    logs.configure("json", stream)
    logs.relay(line, process="inference", stream="demo")
    (told,) = [json.loads(line) for line in said(stream)]
    assert told["event"] == "process_says"
    assert (told["line"], told["process"], told["stream"]) == (line, "inference", "demo")


@pytest.mark.parametrize(
    ("log_format", "line"), [("json", '{"event": "source_ready"}'), ("text", "12:00:00 info x")]
)
def test_what_a_child_logs_is_handed_on_as_it_is(log_format: str, line: str) -> None:
    stream = io.StringIO()
    logs.configure(log_format, stream)
    logs.relay(line, process="inference", stream="demo")
    assert stream.getvalue() == line + "\n"


def test_a_crash_is_one_line() -> None:
    """Of a process, or of a thread in it."""
    stream = io.StringIO()
    logs.configure("json", stream)
    crash = ValueError("first line\nsecond line")
    sys.excepthook(ValueError, crash, None)
    thread = threading.Thread(target=lambda: int("no number"))
    thread.start()
    thread.join()
    first, second = (json.loads(line) for line in said(stream))
    assert first["event"] == second["event"] == "crashed"
    assert "ValueError: first line\nsecond line" in first["exception"]
    assert "Traceback" in second["exception"]
    assert "int()" in second["exception"]


def test_debug_is_not_said() -> None:
    stream = io.StringIO()
    logs.configure("text", stream)
    logs.event(log, "per_frame", level=logging.DEBUG)
    assert not said(stream)


def test_gunicorn_speaks_as_we_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback included: one line, JSON."""
    for name in ("gunicorn.error", "gunicorn.access"):
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
    stream = io.StringIO()
    logs.configure("json", stream)
    settings = Config()
    for name, value in gunicorn_options(config.Settings(), WebSpec(0, "")).items():
        settings.set(name, value)
    speaks = settings.logger_class(settings)
    speaks.info("too little to say")
    try:
        int("first line\nsecond line")
    except ValueError:
        speaks.exception("Exception in worker process %s", 7)
    (line,) = [json.loads(line) for line in said(stream)]
    assert line["event"] == "Exception in worker process 7"
    assert "ValueError" in line["exception"]
    assert not logging.getLogger("gunicorn.error").handlers
