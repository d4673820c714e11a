"""Playlists leave in two forms: as they are and as gzip, compressed once for all viewers (62)."""

from __future__ import annotations

from encoder.gzipped import deflated, gzipped
from encoder.store import StreamStore

GZIP_SUFFIX = ".gz"


def publish_text(store: StreamStore, name: str, text: str) -> None:
    """Publish a playlist."""
    data = text.encode()
    publish_packed(store, name, data, gzipped(data, deflated(data)))


def publish_packed(store: StreamStore, name: str, data: bytes, packed: bytes) -> None:
    """Publish what is packed already, gzip first: who waits for the plain one finds it as new."""
    store.publish(name + GZIP_SUFFIX, packed)
    store.publish(name, data)
