"""``lipstream web``: the web processes as a service of their own, beside `lipstream serve`.

They hold no stream, so they can be restarted and replaced at any time; where a service manager
keeps the listening socket, not even a connection is refused meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import logs
from config import ConfigError, Settings
from encoder.media_root import MediaRoot
from server.child import Child
from server.errors import ProcessGaveUp
from server.heart import Heart, address_of
from server.notify import Notifier, take_listener
from server.outlet import Outlet
from server.serve import check_exposure, for_children, listen
from server.streams import web_child

# How often it is looked while they start.
SOON_SECONDS = 0.05


def serve_web(settings: Settings) -> None:
    """Serve the streams of a media root until SIGTERM; SIGHUP replaces the processes.

    Raises:
        ServerError, ConfigError: it cannot start, or cannot go on.
    """
    notifier = Notifier.take_from(os.environ)
    with Outlet() as outlet:
        logs.configure(settings.log_format, outlet)
        _serve(for_children(settings), notifier)


def _serve(settings: Settings, notifier: Notifier) -> None:
    if not settings.media_root:
        raise ConfigError("media_root is not set: give the one of `lipstream serve`")
    if not settings.web_processes:
        raise ConfigError("web_processes is 0: here it must be 1 or more")
    root = MediaRoot(Path(settings.media_root).resolve())
    with take_listener(os.environ) or listen(settings) as listener:
        address = address_of(listener)
        check_exposure(settings, address[0])
        web = web_child(settings, root, listener.fileno())
        tls, asked = bool(settings.tls_cert), settings.web_worker == "asgi"
        heart = Heart(notifier, _status, [web], address, tls=tls, asked=asked)
        asyncio.run(_run(web, heart))


async def _run(web: Child, heart: Heart) -> None:
    """Keep them running until told to stop; all have been reaped when it returns."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    keeping = asyncio.ensure_future(web.keep(lambda: web.only_refused, lambda: None))
    beginning = asyncio.ensure_future(_begin(heart, stopping))
    stop = asyncio.ensure_future(stopping.wait())
    await asyncio.wait({keeping, stop}, return_when=asyncio.FIRST_COMPLETED)
    gave_up = not stopping.is_set()
    stopping.set()
    beginning.cancel()
    await web.end()
    await keeping
    if gave_up:
        assert web.last_exit is not None
        raise ProcessGaveUp(web.name, web.last_exit.status, web.last_exit.status)


async def _begin(heart: Heart, stopping: asyncio.Event) -> None:
    while not await heart.web_answers():
        await asyncio.sleep(SOON_SECONDS)
    heart.begin(stopping)


def _status() -> str:
    return "the web processes answer"
