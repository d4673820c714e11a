"""One line per event: readable on a terminal, JSON elsewhere. Imports nothing of ours."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar, copy_context
from functools import partial
from types import MappingProxyType, TracebackType
from typing import Any, ParamSpec, Protocol, TypeVar

_FACTS = "lipstream_facts"
# A child or a client that complains without end must not fill the disk: of each event so many
# lines in so many seconds; the first one after that says how many were left out.
MOST_LINES, WINDOW_SECONDS = 50, 10.0

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")

_bound: dict[str, Any] = {}
_bound_here: ContextVar[Mapping[str, Any]] = ContextVar("bound", default=MappingProxyType({}))


class Stream(Protocol):
    """Where lines of a log go."""

    def write(self, text: str, /) -> object:
        """Take one line with its end."""

    def flush(self) -> object:
        """Hand on what was taken."""

    def isatty(self) -> bool:
        """Whether a person reads along."""


def configure(log_format: str, stream: Stream | None = None) -> None:
    """Send all logs to one place.

    Args:
        log_format: ``text``, ``json``, or ``auto``: text if the stream is a terminal.
        stream: where to; None: standard error.
    """
    stream = sys.stderr if stream is None else stream
    as_text = log_format == "text" or (log_format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Text() if as_text else _Json())
    handler.addFilter(Bounded())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    sys.excepthook = _tell_crash
    threading.excepthook = lambda crash: _tell_crash(
        crash.exc_type, crash.exc_value, crash.exc_traceback
    )


def bind(**facts: Any) -> None:
    """Facts that every later line of this process carries, such as ``bind(stream="demo")``.

    Of the whole process, threads included; one that works for several has them :func:`bound`.
    """
    _bound.update(facts)


@contextlib.contextmanager
def bound(**facts: Any) -> Iterator[None]:
    """Facts that every line of the block carries, and those of the threads it :func:`carries`."""
    before = _bound_here.set({**_bound_here.get(), **facts})
    try:
        yield
    finally:
        _bound_here.reset(before)


def carries(work: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """What a new thread is to do, with the facts that are :func:`bound` where it is started."""
    return partial(copy_context().run, work)


def relay(line: str, **facts: Any) -> None:
    """Hand on what a child process has said.

    A line of its own log is handed on as it is. Any other one (what a library writes, the end of a
    program that failed) becomes an event where lines are JSON, so that each line is.

    Args:
        line: without its end.
        facts: which child, of which stream.
    """
    ours = (h for h in logging.getLogger().handlers if isinstance(h.formatter, (_Text, _Json)))
    place = next(ours, None)
    if place is not None and isinstance(place.formatter, _Json) and not _is_json(line):
        event(logging.getLogger(__name__), "process_says", line=line, **facts)
        return
    stream: Stream = place.stream if isinstance(place, logging.StreamHandler) else sys.stderr
    with contextlib.suppress(OSError):  # nobody reads logs any more: no reason to stop anything
        stream.write(line + "\n")
        stream.flush()


def event(logger: logging.Logger, name: str, *, level: int = logging.INFO, **facts: Any) -> None:
    """Log one event and its facts, such as ``event(log, "encoder_started", pid=7)``."""
    logger.log(level, name, extra={_FACTS: facts}, stacklevel=2)


def _tell_crash(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    """What ends a process or a thread: one line, as all else."""
    if error is None or not issubclass(kind, Exception):  # Ctrl-C
        return
    told = logging.Formatter().formatException((kind, error, trace))
    event(logging.getLogger(__name__), "crashed", level=logging.CRITICAL, exception=told)


class Bounded(logging.Filter):
    """Lets at most :data:`MOST_LINES` lines of an event pass in :data:`WINDOW_SECONDS`.

    Args:
        clock: seconds, rising.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, int], tuple[float, int]] = {}  # (began, lines) by source line

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        key, now = (record.pathname, record.lineno), self._clock()
        began, lines = self._seen.get(key, (now, 0))
        if now - began >= WINDOW_SECONDS:
            left_out = lines - MOST_LINES
            began, lines = now, 0
            if left_out > 0:
                setattr(record, _FACTS, getattr(record, _FACTS, {}) | {"left_out": left_out})
        self._seen[key] = (began, lines + 1)
        return lines < MOST_LINES


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _line(record: logging.LogRecord) -> dict[str, Any]:
    facts: dict[str, Any] = getattr(record, _FACTS, {})
    line = {"event": record.getMessage(), **_bound, **_bound_here.get(), **facts}
    if record.exc_info and record.exc_info[1] is not None:
        line["exception"] = logging.Formatter().formatException(record.exc_info)
    return line


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = _line(record)
        facts = " ".join(f"{key}={_plain(value)}" for key, value in line.items() if key != "event")
        return f"{clock} {record.levelname.lower():7} {line['event']} {facts}".rstrip()


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        head = {"time": round(record.created, 3), "level": record.levelname.lower()}
        return json.dumps(head | _line(record), default=str)


def _plain(value: Any) -> str:
    text = str(value)
    # Quoted where it would not read as one word, or would speak to the terminal.
    one_word = text.isprintable() and not any(c in ' "' for c in text)
    return text if text and one_word else repr(text)
