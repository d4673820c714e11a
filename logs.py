"""One line per event: readable on a terminal, JSON elsewhere. Imports nothing of ours."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, TextIO

_FACTS = "lipstream_facts"


def configure(log_format: str, stream: TextIO | None = None) -> None:
    """Send all logs to one place.

    Args:
        log_format: ``text``, ``json``, or ``auto``: text if the stream is a terminal.
        stream: where to; None: standard error.
    """
    stream = sys.stderr if stream is None else stream
    as_text = log_format == "text" or (log_format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Text() if as_text else _Json())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def event(logger: logging.Logger, name: str, *, level: int = logging.INFO, **facts: Any) -> None:
    """Log one event and its facts, such as ``event(log, "encoder_started", pid=7)``."""
    logger.log(level, name, extra={_FACTS: facts}, stacklevel=2)


def _line(record: logging.LogRecord) -> dict[str, Any]:
    facts: dict[str, Any] = getattr(record, _FACTS, {})
    line = {"event": record.getMessage(), **facts}
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
