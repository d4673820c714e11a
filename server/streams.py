"""From an order to a stream: its settings and the processes that make it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from config import INGEST, Settings
from encoder.media_root import MediaRoot
from encoder.multivariant import MULTIVARIANT_NAME
from encoder.plan import plan_stream
from encoder.process import END_WORD, StreamSpec
from encoder.succession import GIVEN_UP
from server.child import FIRST_BEAT_SECONDS, Child
from server.lending import lend
from server.roster import Stream
from server.specs import StreamOrder, WebSpec

_PYTHON = (sys.executable, "-m")
# Networks of some gigabytes from a slow disk, and a face to be registered with them.
LOADING_SECONDS = 600.0


def stream_maker(service: Settings, root: MediaRoot) -> Callable[[StreamOrder], Stream]:
    """What makes streams of orders.

    Args:
        service: settings of the service; an order says what differs.
        root: entered already.
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
        children = [_encoder(spec, settings, root.lock_fd)]
        if settings.source != INGEST:
            children.insert(0, _inference(spec, settings))
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


def _inference(spec: StreamSpec, settings: Settings) -> Child:
    return Child(
        "inference",
        [*_PYTHON, "inference"],
        lambda: {"socket": spec.socket, "id": spec.id, "beats": True},
        settings.to_environment(),
        stream=spec.id,
        beats=True,
        first_beat_seconds=LOADING_SECONDS,
    )


def _encoder(spec: StreamSpec, settings: Settings, lock: int) -> Child:
    child = Child(
        "encoder",
        [*_PYTHON, "encoder"],
        lambda: asdict(where_it_was(spec, child.last_told)),
        settings.to_environment(),
        # While it lives and may write there, no other service takes the media root.
        pass_fds=(lock,),
        stream=spec.id,
        last_word=END_WORD,
        beats=True,
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
