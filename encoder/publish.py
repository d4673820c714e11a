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
    """Publish what is packed already."""
    store.publish_together(both_forms(name, data, packed))


def both_forms(name: str, data: bytes, packed: bytes) -> dict[str, bytes]:
    """For publishing together: where one form has no room, no form changes (12).

    gzip first: who waits for the plain one finds it as new.
    """
    return {name + GZIP_SUFFIX: packed, name: data}
