"""From an order to a stream: its settings and the processes that make it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from config import AVATAR, INGEST, SHARED, Settings
from encoder.media_root import MediaRoot
from encoder.multivariant import MULTIVARIANT_NAME
from encoder.plan import plan_stream
from encoder.process import END_WORD, StreamSpec
from encoder.succession import GIVEN_UP
from inference.source import chosen_engine, gpu_is_there
from rawmedia import MediaFormat
from server.child import FIRST_BEAT_SECONDS, Child
from server.lending import lend
from server.reserve import Kind, Reserve
from server.roster import Stream
from server.sessions import Session, SharedProcess
from server.specs import StreamOrder, WebSpec

_PYTHON = (sys.executable, "-m")
_INFERENCE = Kind((*_PYTHON, "inference"), beats=True)
# Networks of some gigabytes from a slow disk, and a face to be registered with them.
LOADING_SECONDS = 600.0


def stream_maker(
    service: Settings,
    root: MediaRoot,
    shared: SharedProcess | None = None,
    reserve: Reserve | None = None,
) -> Callable[[StreamOrder], Stream]:
    """What makes streams of orders.

    Args:
        service: settings of the service; an order says what differs.
        root: entered already.
        shared: where talking heads are sessions; None: each has a process.
        reserve: where processes may wait that have loaded already.
    """

    def make(order: StreamOrder) -> Stream:
        """Raises EncoderError, RawMediaError, OSError: settings that no stream can have."""
        wished = replace(service, stream=order.id, **order.settings).without_secrets()
        plan = plan_stream(wished)
        settings, lent = lend(wished, root.run)
        spec = StreamSpec(
            id=order.id,
            socket=str(root.socket(order.id)),
            folder=str(root.live / order.id),
            state=str(root.figures(order.id)),
            encoder=order.encoder,
            beats=True,
        )
        children = [_encoder(spec, settings, _encoder_kind(root), reserve)]
        if settings.source != INGEST:
            children.insert(0, _inference(spec, settings, shared, reserve))
        playlist = root.live / order.id / MULTIVARIANT_NAME
        return Stream(
            order.id,
            children,
            playlist,
            plan.bound_bytes,
            plan.archive_bound_bytes,
            lent=lent,
        )

    return make


def shared_process(service: Settings) -> SharedProcess | None:
    """The process that talking heads share; None: each has one of its own."""
    if service.ditto_process != SHARED:
        return None
    wished = service.engine == "ditto" or (service.engine == "auto" and gpu_is_there())
    return SharedProcess(service, prewarmed=wished and bool(service.checkpoint))


def _is_talking_head(settings: Settings) -> bool:
    media = MediaFormat(**settings.media_fields)
    return settings.source == AVATAR and chosen_engine(settings, media, live=True).name == "ditto"


def reserve_for(service: Settings, root: MediaRoot, shared: SharedProcess | None) -> Reserve | None:
    """Where processes wait for the next stream; None: the service wants none to.

    Args:
        service: its settings.
        root: entered already.
        shared: where talking heads are sessions: if they are the rule here, no worker waits.
    """
    if not service.reserve:
        return None
    workers = () if shared is not None and shared.prewarmed else (_INFERENCE,)
    return Reserve((_encoder_kind(root), *workers), service.without_secrets().to_environment())


def _inference(
    spec: StreamSpec, settings: Settings, shared: SharedProcess | None, reserve: Reserve | None
) -> Child:
    environment = settings.to_environment()
    job = {"socket": spec.socket, "id": spec.id, "settings": environment}
    if shared is not None and _is_talking_head(settings):
        return Session(shared, spec.id, lambda: job, LOADING_SECONDS)
    return Child(
        "inference",
        _INFERENCE.argv,
        lambda: job | {"beats": True},
        environment,
        reserve=reserve,
        stream=spec.id,
        beats=_INFERENCE.beats,
        first_beat_seconds=LOADING_SECONDS,
    )


def _encoder_kind(root: MediaRoot) -> Kind:
    # While it lives and may write there, no other service takes the media root.
    return Kind((*_PYTHON, "encoder"), (root.lock_fd,), beats=True)


def _encoder(spec: StreamSpec, settings: Settings, kind: Kind, reserve: Reserve | None) -> Child:
    environment = settings.to_environment()

    def greeting() -> dict[str, Any]:
        return asdict(where_it_was(spec, child.last_told)) | {"settings": environment}

    child = Child(
        "encoder",
        kind.argv,
        greeting,
        environment,
        pass_fds=kind.pass_fds,
        reserve=reserve,
        stream=spec.id,
        last_word=END_WORD,
        beats=kind.beats,
        first_beat_seconds=FIRST_BEAT_SECONDS + settings.slate_after_seconds,
        progress=media_progress,
    )
    return child


def where_it_was(spec: StreamSpec, told: Mapping[str, Any]) -> StreamSpec:
    """What a restarted encoder process is told: a broken encoder is for new streams to try again.

    Args:
        spec: as the stream began.
        told: the last figures of its earlier processes; nothing: this is the first.
    """
    encoder, given_up = told.get("encoder", spec.encoder), told.get(GIVEN_UP, ())
    return replace(spec, encoder=encoder, given_up=tuple(given_up))


def media_progress(told: Mapping[str, Any]) -> object:
    """What changes while an encoder process does what it is for.

    A live stream's media grows; one that is blocked, starting or ended is at work all the same.
    """
    return told.get("media_seconds") if told.get("state") == "live" else object()


def web_child(settings: Settings, root: MediaRoot, listen_fd: int) -> Child:
    """The process that serves all streams over HTTP; it starts workers of its own."""
    spec = WebSpec(listen_fd, str(root.path))
    return Child(
        "web",
        [*_PYTHON, "server.web"],
        lambda: asdict(spec),
        settings.to_environment(),
        pass_fds=(listen_fd,),
    )
