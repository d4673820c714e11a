"""``lipstream serve``: everything is checked first, then started, then kept running."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import replace

import logs
from config import INGEST, SILENT, ConfigError, Settings
from encoder.disk_folder import DiskFolder
from encoder.ffmpeg import find_ffmpeg
from encoder.media_root import (
    ORPHANS_END_SECONDS,
    MediaRoot,
    choose,
    remove_abandoned,
    was_killed,
)
from encoder.plan import plan_stream
from encoder.probe import choose_encoder
from encoder.takes import check_record_folder
from inference.piper import check_piper_voice
from inference.source import check_source, chosen_engine, make_source
from server.child import Child
from server.errors import PortTaken, Unprotected
from server.heart import Heart, Progress, address_of, silent
from server.notify import Notifier
from server.outlet import Outlet
from server.specs import StreamOrder
from server.streams import reserve_for, shared_process, stream_maker, web_child
from server.supervisor import Supervisor
from server.tls import check_certificate
from server.tokens import STREAM_ID, check_key


def serve(settings: Settings) -> None:
    """Run the service until SIGINT or SIGTERM.

    Raises:
        ServerError, EncoderError, InferenceError, RawMediaError, ConfigError: it cannot start, or
            a process cannot go on. Nothing is left behind.
    """
    notifier = Notifier.take_from(os.environ)
    with Outlet() as outlet:
        logs.configure(settings.log_format, outlet)
        _serve(for_children(settings), notifier)


def _serve(settings: Settings, notifier: Notifier) -> None:
    _check(settings)
    plan = plan_stream(settings)
    media = plan.media
    check_source(settings, media)
    # A user's own files: read them before anything starts. A model is for its worker to load: here
    # it would hold a GPU's memory for good.
    own_files = settings.image or settings.audio not in ("", SILENT)
    if own_files and chosen_engine(settings, media, live=True).name == "presenter":
        make_source(settings, media).close()
    ffmpeg = find_ffmpeg(settings.ffmpeg)
    with ExitStack() as closing:
        listener = closing.enter_context(listen(settings)) if settings.web_processes else None
        host, port = address_of(listener) if listener else (settings.host, settings.port)
        size, codec = (media.width, media.height, media.fps), settings.video_codec
        encoder = choose_encoder(ffmpeg, settings.encoder, *size, codec=codec)
        folder = choose(settings.media_root, port)
        if not settings.media_root:
            remove_abandoned(folder.parent)
        root = closing.enter_context(MediaRoot(folder))
        disk = closing.enter_context(DiskFolder(settings.disk_folder))
        root.check_room([plan.bound_bytes])
        disk.check_room([plan.archive_bound_bytes])
        web = [web_child(settings, root, listener.fileno())] if listener else []
        shared = shared_process(settings)
        reserve = reserve_for(settings, root, shared)
        make_stream = stream_maker(settings, root, shared, reserve)
        most = settings.max_streams
        supervisor = Supervisor(root, web, make_stream, most, disk, shared, reserve)
        url = _url("https" if settings.tls_cert else "http", host, port)
        first = StreamOrder(settings.stream, encoder.name) if settings.stream else None
        heart = _heart(notifier, supervisor, root, web, (host, port), settings)

        def when_live() -> None:
            heart.begin(supervisor.stopping)
            with suppress(OSError):  # nobody reads it: no reason to stop
                _greet(settings, url, encoder.name, root)

        asyncio.run(supervisor.run(first, when_live))


def for_children(settings: Settings) -> Settings:
    """What children are given: their stderr is a pipe to us, only we know what it ends in."""
    if settings.log_format != "auto":
        return settings
    return replace(settings, log_format="text" if sys.stderr.isatty() else "json")


def _check(settings: Settings) -> None:
    if settings.stream and not STREAM_ID.fullmatch(settings.stream):
        raise ConfigError(
            f"stream is {settings.stream!r}: use 1 to 63 small letters, digits and hyphens"
        )
    check_exposure(settings, settings.host)
    check_piper_voice(settings.piper_voice)


def check_exposure(settings: Settings, host: str) -> None:
    """See that what viewers can reach is protected as it should be.

    Raises:
        Unprotected, ConfigError: it is not, or cannot be.
    """
    if not (is_loopback(host) or settings.api_token or settings.insecure):
        raise Unprotected(host)
    if settings.api_token:
        check_key(settings.api_token, "api_token")
    if settings.viewer_key:
        check_key(settings.viewer_key)
    check_certificate(settings)
    check_record_folder(settings)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(settings: Settings) -> socket.socket:
    """Bind here, not in gunicorn: a taken port is known before anything is started.

    Where a service was killed, its web processes may have the port for a moment: wait for them.

    Raises:
        PortTaken: it cannot be.
    """
    deadline = time.monotonic() + ORPHANS_END_SECONDS
    while True:
        try:
            return _bound(settings)
        except OSError as error:
            is_taken = error.errno == errno.EADDRINUSE and time.monotonic() < deadline
            if not (is_taken and was_killed(choose(settings.media_root, settings.port))):
                reason = error.strerror or str(error)
                raise PortTaken(settings.host, settings.port, reason) from error
        time.sleep(0.05)


def _bound(settings: Settings) -> socket.socket:
    family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def _heart(
    notifier: Notifier,
    supervisor: Supervisor,
    root: MediaRoot,
    web: list[Child],
    address: tuple[str, int],
    settings: Settings,
) -> Heart:
    progress, streams = Progress(), supervisor.streams

    def status() -> str:
        live = sum(stream.playlist.exists() for stream in streams.values())
        return f"{live} of {len(streams)} streams can be played"

    def stuck() -> dict[str, str]:
        return silent(streams.values(), root.figures, progress)

    tls, asked = bool(settings.tls_cert), settings.web_worker == "asgi"
    return Heart(notifier, status, web, address, tls=tls, asked=asked, stuck=stuck)


def _url(scheme: str, host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"{scheme}://[{shown}]:{port}" if ":" in shown else f"{scheme}://{shown}:{port}"


def _greet(settings: Settings, url: str, encoder: str, root: MediaRoot) -> None:
    if not settings.web_processes:
        sys.stdout.write(f"\nlipstream runs; `lipstream web --media-root {root.path}` serves it\n")
        sys.stdout.flush()
        return
    if not settings.stream:
        sys.stdout.write(f"\nlipstream runs at {url}\n  streams   POST {url}/api/streams\n\n")
        sys.stdout.flush()
        return
    media = settings.media_fields
    size = f"{media['width']}x{media['height']} at {settings.fps} fps"
    playlist = f"{url}/live/{settings.stream}/index.m3u8"
    if settings.viewer_key:  # a link that works is a secret, and this may end in a log
        playlist = f"{url} and what `lipstream token {settings.stream}` prints"
    note = "  note      open it by a name that the certificate has\n" if settings.tls_cert else ""
    if settings.source == INGEST:
        note += f"  source    connect to {root.socket(settings.stream)}\n"
    sys.stdout.write(
        f"\nlipstream is live ({size}, {encoder})\n"
        f"  watch     {url}/\n"
        f"  playlist  {playlist}\n"
        f"{note}"
        "  stop      Ctrl-C\n\n"
    )
    sys.stdout.flush()
