"""How a web process reaches the face of a stream: a socket in ``run``, one line each way."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from encoder.media_root import RUN
from rawmedia import SPEECH_FOLDER, SPEECH_SOCKET
from server.errors import WorkerAway

# The longest file of the default limits is decoded in 3 s; a machine full of streams takes longer.
ANSWER_SECONDS = 30.0
_LONGEST_LINE_BYTES = 64 * 1024


class SpeechLink:
    """The worker of one stream.

    Args:
        media_root: entered already.
        stream: its id, which exists.
    """

    def __init__(self, media_root: Path, stream: str) -> None:
        self._socket = media_root / RUN / f"{stream}{SPEECH_SOCKET}"
        self.folder = media_root / RUN / f"{stream}{SPEECH_FOLDER}"

    def ask(self, wish: dict[str, Any]) -> dict[str, Any]:
        """Have the worker do something; its answer.

        Raises:
            WorkerAway: it does not answer; it may be starting.
        """
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
                link.settimeout(ANSWER_SECONDS)
                link.connect(str(self._socket))
                link.sendall(json.dumps(wish).encode() + b"\n")
                with link.makefile("rb") as answers:
                    reply: dict[str, Any] = json.loads(answers.readline(_LONGEST_LINE_BYTES))
                    return reply
        except (OSError, ValueError) as error:
            raise WorkerAway(error) from error
