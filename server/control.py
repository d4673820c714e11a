"""How the web processes tell the supervisor what is wished: one JSON line each way."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from logs import event
from server.errors import SupervisorAway

ANSWER_SECONDS = 3.0
_LONGEST_LINE_BYTES = 64 * 1024

Command = dict[str, Any]
log = logging.getLogger(__name__)


async def listen(
    path: Path, act: Callable[[Command], Awaitable[Command]]
) -> asyncio.AbstractServer:
    """Answer commands at a socket that only this user can reach.

    Args:
        path: of the socket.
        act: carries out one command and returns the answer.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), ANSWER_SECONDS)
            reply = await act(json.loads(line))
            writer.write(json.dumps(reply).encode() + b"\n")
            await writer.drain()
        except (TimeoutError, ValueError, OSError) as error:
            event(log, "command_refused", level=logging.WARNING, reason=error)
        finally:
            writer.close()

    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(answer, str(path), limit=_LONGEST_LINE_BYTES)
    path.chmod(0o600)
    return server


def send(path: Path, command: Command) -> Command:
    """Give the supervisor one command and wait for its answer.

    Raises:
        SupervisorAway: it does not answer.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(ANSWER_SECONDS)
            link.connect(str(path))
            link.sendall(json.dumps(command).encode() + b"\n")
            with link.makefile("rb") as answers:
                reply: Command = json.loads(answers.readline(_LONGEST_LINE_BYTES))
                return reply
    except (OSError, ValueError) as error:
        raise SupervisorAway(error) from error
