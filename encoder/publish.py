"""Playlists leave in two forms: as they are and as gzip, compressed once for all viewers (62)."""

from __future__ import annotations

import gzip

from encoder.store import StreamStore

GZIP_SUFFIX = ".gz"
# Level 9 saves 1 % over 6 and costs twice the time; 0: the same bytes for the same text.
_GZIP_LEVEL, _GZIP_TIME = 6, 0


def publish_text(store: StreamStore, name: str, text: str) -> None:
    """Publish a playlist, gzip first: who waits for the plain one finds the other as new."""
    data = text.encode()
    store.publish(name + GZIP_SUFFIX, gzip.compress(data, _GZIP_LEVEL, mtime=_GZIP_TIME))
    store.publish(name, data)
