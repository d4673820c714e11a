"""A service of one's own for as long as a viewer needs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from typing import IO

from config import ENVIRONMENT_PREFIX, Settings
from server.errors import DemoFailed
from server.tokens import token_path

START_SECONDS = 60.0  # a machine's first trial encodes take some of it
_STOP_SECONDS = 10.0
_LINK_SECONDS = 7 * 86_400
_ADDRESS = re.compile(r"^  watch     (\S+?)/?$")
_NAME = "lipstream: "  # before what an error of a command says
# The last lines of its log that an error repeats.
_TOLD_LINES = 5


class DemoService:
    """`lipstream serve` as a child: entering waits until it is live, leaving ends it.

    Args:
        settings: its settings; it takes a free port, and a media root of its own where none is
            given.
    """

    def __init__(self, settings: Settings) -> None:
        self.playlist = ""
        self._settings = settings
        self._has_address = threading.Event()

    def __enter__(self) -> DemoService:
        """Start it.

        Raises:
            DemoFailed: it is not live in a minute; the reason is that of its log.
        """
        self._log = tempfile.TemporaryFile()  # closed by __exit__
        self._child = subprocess.Popen(
            [sys.executable, "-m", "server", "serve"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment(self._settings),
            start_new_session=True,  # Ctrl-C ends the viewer first, then we end the service
        )
        assert self._child.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._child.stdout,), daemon=True)
        self._reader.start()
        try:
            self._await_address()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._end()

    def _await_address(self) -> None:
        self._has_address.wait(START_SECONDS)
        if not self.playlist:
            raise DemoFailed(self._told())

    def _end(self) -> None:
        self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._reader.join(_STOP_SECONDS)
        self._log.close()

    def _read(self, pipe: IO[bytes]) -> None:
        """Always: a full pipe would stop the service."""
        for line in pipe:
            found = _ADDRESS.match(line.decode("utf-8", "replace").rstrip())
            if found and not self.playlist:
                self.playlist = found[1] + path_of(self._settings)
                self._has_address.set()
        self._has_address.set()

    def _told(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").splitlines()
        own = [line.removeprefix(_NAME) for line in lines if line.startswith(_NAME)]
        return "; ".join(own or lines[-_TOLD_LINES:]) or f"nothing in {START_SECONDS:g} s"


def path_of(settings: Settings) -> str:
    """Where its stream is found, with a link where viewers need one."""
    if not settings.viewer_key:
        return f"/live/{settings.stream}/index.m3u8"
    return token_path(settings.viewer_key, settings.stream, int(time.time()) + _LINK_SECONDS)


def environment(settings: Settings) -> dict[str, str]:
    """The service's environment: these settings and no others."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ENVIRONMENT_PREFIX)}
    return kept | replace(settings, port=0).to_environment() | {"PYTHONUNBUFFERED": "1"}
