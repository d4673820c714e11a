"""Follow one rendition: one thread holds reloads, another fetches what they list.

So fetching never delays the next reload. Whatever fails is tried again, from the multivariant
playlist if need be: a stream that was restarted is found again without a word from its viewer.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from client.fetch import GZIP, Answer, Fetch, resolve, unpacked
from client.observation import Address
from client.observe import is_usable, next_position, with_query
from client.playlists import MediaPlaylist
from client.reader import read_media_playlist
from client.syntax import MAX_PLAYLIST_BYTES
from client.watching.pieces import Cursor, Piece, following, start

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 2.0
# After so many failures in a row the media playlist's own address is doubted.
_FAILURES_BEFORE_A_NEW_CHOICE = 2
_GONE = (404, 410)
# Pieces that wait to be fetched. A playlist may list many; a hostile one lists more each time.
_WAITING_PIECES = 1000
_FULL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Block:
    """Media for the decoder, in order.

    ``begins``: a new stretch, for a decoder of its own, ``missing_seconds`` after the last one;
    ``skip_seconds`` of it come before the first picture to be shown. ``apart``: its time line has
    nothing to do with the one before.
    """

    piece: Piece
    init: bytes
    data: bytes
    begins: bool = False
    apart: bool = False
    missing_seconds: float = 0.0
    skip_seconds: float = 0.0


@dataclass(slots=True)
class Counts:
    """What befell a rendition."""

    requests: int = 0
    bytes: int = 0
    failures: int = 0
    reconnects: int = 0
    jumps: int = 0
    lost: int = 0
    gaps: int = 0
    discontinuities: int = 0
    last_error: str = ""

    def add(self, answer: Answer) -> None:
        """Count an answer."""
        self.requests += 1
        self.bytes += len(answer.body)


class Follower:
    """One rendition of a live stream.

    Args:
        choose: finds the address of the media playlist; None: not now. Asked again after failures.
        fetch: asks for one file.
        take: is given each block, by a thread of this follower. False: it needs a new beginning.
        end: called by that thread when no more will come.
        is_full: whether so much is there that fetching more can wait.
    """

    def __init__(
        self,
        choose: Callable[[], str | None],
        fetch: Fetch,
        take: Callable[[Block], bool],
        end: Callable[[], None],
        is_full: Callable[[], bool] = lambda: False,
    ) -> None:
        self.counts = Counts()
        self.is_encrypted = False
        self._choose = choose
        self._fetch = fetch
        self._take = take
        self._end = end
        self._is_full = is_full
        self._stop = threading.Event()
        self._wanted: queue.SimpleQueue[_Wanted | None] = queue.SimpleQueue()

    def start(self) -> None:
        """Begin; it goes on until :meth:`stop`, or the stream's end."""
        for work in (self._follow, self._load):
            threading.Thread(target=work, daemon=True).start()

    def stop(self) -> None:
        """Ask for no more."""
        self._stop.set()
        self._wanted.put(None)

    # --- playlists ------------------------------------------------------------------------------

    def _follow(self) -> None:
        url: str | None = None
        place = _Place(self._wanted, self.counts)
        playlist: MediaPlaylist | None = None
        failures = 0
        while not self._stop.is_set():
            if url is None:
                url = self._choose()
            answered = self._reload(url, None if failures else playlist) if url else None
            if answered is None:
                failures += 1
                url = None if failures >= _FAILURES_BEFORE_A_NEW_CHOICE else url
                pause = _FIRST_PAUSE_SECONDS * 2 ** min(failures - 1, 8)
                self._stop.wait(min(pause, _LONGEST_PAUSE_SECONDS))
                continue
            self.counts.reconnects += failures > 0 and playlist is not None
            failures = 0
            is_news = playlist is None or answered.position != playlist.position
            playlist = answered
            assert url is not None
            place.take(playlist, url)
            while self._wanted.qsize() > _WAITING_PIECES and not self._stop.wait(_FULL_SECONDS):
                pass
            if playlist.ended:
                self._wanted.put(None)
                return
            self._pause(playlist, is_news=is_news)

    def _reload(self, url: str, before: MediaPlaylist | None) -> MediaPlaylist | None:
        msn, part = next_position(before)
        query = {"_HLS_msn": msn, "_HLS_part": part}
        wait = 4 * min((before.target_duration if before else None) or 6, 30) + 5
        asked = with_query(url, {k: v for k, v in query.items() if v is not None})
        answer = self._fetch(asked, headers=GZIP, seconds=wait)
        self.counts.add(answer)
        body = _text(answer)
        found = read_media_playlist(body) if body is not None else None
        if found is None or not found.target_duration:
            self.counts.failures += 1
            self.counts.last_error = answer.told if found is None else "no media playlist"
            return None
        return found

    def _pause(self, playlist: MediaPlaylist, *, is_news: bool) -> None:
        if playlist.control.can_block_reload:
            # An origin that answers early without news must not be asked in a tight loop.
            self._stop.wait(0 if is_news else 0.05)
        else:
            target_duration = playlist.target_duration or 2
            self._stop.wait(target_duration if is_news else target_duration / 2)

    # --- media ----------------------------------------------------------------------------------

    def _load(self) -> None:
        inits: dict[Address, bytes] = {}
        broken = True  # until something that can be decoded by itself
        missing = 0.0
        while (wanted := self._wanted.get()) is not None and not self._stop.is_set():
            piece = wanted.piece
            self.is_encrypted |= piece.encrypted
            self.counts.discontinuities += piece.begins
            self.counts.gaps += piece.gap
            missing = 0.0 if wanted.begins else missing
            while self._is_full() and not self._stop.wait(_FULL_SECONDS):
                pass
            media: tuple[bytes, bytes] | None = None
            if not piece.gap and (piece.independent or wanted.begins or not broken):
                media = self._fetched(wanted, inits)
                self.counts.lost += media is None
            begins = wanted.begins or broken or piece.begins
            broken = media is None or not self._take(
                Block(
                    piece,
                    *media,
                    begins=begins,
                    apart=wanted.apart or piece.begins,
                    missing_seconds=missing,
                    skip_seconds=wanted.skip_seconds,
                )
            )
            missing = missing + float(piece.duration) if broken else 0.0
        self._end()

    def _fetched(self, wanted: _Wanted, inits: dict[Address, bytes]) -> tuple[bytes, bytes] | None:
        """Init segment and media of a piece; None if one of them does not come."""
        piece, init = wanted.piece, b""
        if piece.map_uri:
            address = _address(wanted.url, piece.map_uri, piece.map_byterange)
            found = inits.get(address) or self._media(address)
            if not found:
                return None
            inits.clear()  # players keep the last one
            init = inits[address] = found
        data = self._media(_address(wanted.url, piece.uri, piece.byterange))
        return None if data is None else (init, data)

    def _media(self, address: Address) -> bytes | None:
        """A file; asked for again as long as it may come."""
        for attempt in range(3):
            if not address.url:
                return None
            answer = self._fetch(address.url, headers=address.range_header)
            self.counts.add(answer)
            if answer.status in (200, 206):
                return answer.body
            self.counts.failures += 1
            self.counts.last_error = f"{address.name}: {answer.told}"
            if answer.status in _GONE or self._stop.wait(_FIRST_PAUSE_SECONDS * 2**attempt):
                return None
        return None


@dataclass(frozen=True, slots=True)
class _Wanted:
    piece: Piece
    url: str  # of the playlist that names it
    begins: bool
    apart: bool
    skip_seconds: float


class _Place:
    """Where a rendition has been read up to."""

    def __init__(self, wanted: queue.SimpleQueue[_Wanted | None], counts: Counts) -> None:
        self._wanted = wanted
        self._counts = counts
        self._cursor: Cursor | None = None
        self._last: Piece | None = None

    def lose(self) -> None:
        """Begin anew, at the live edge."""
        self._cursor = None
        self._counts.jumps += 1

    def take(self, playlist: MediaPlaylist, url: str) -> None:
        """Want everything that is new."""
        apart = self._cursor is not None and self._is_elsewhere(playlist)
        found: list[Piece] = []
        joins = False
        if self._cursor is not None and not apart:
            found, joins = following(playlist, self._cursor)
            if not joins:
                self._counts.jumps += 1
                apart = self._last is not None and found[0].map_uri != self._last.map_uri
        if joins:
            self._want(found, url)
        else:
            self._begin(playlist, url, apart=apart)

    def _begin(self, playlist: MediaPlaylist, url: str, *, apart: bool) -> None:
        begin = start(playlist)
        if begin is None:
            return
        first, *others = following(playlist, begin.cursor)[0]
        self._wanted.put(_Wanted(first, url, True, apart, begin.skip_seconds))
        self._keep(first)
        self._want(others, url)

    def _want(self, found: list[Piece], url: str) -> None:
        for piece in found:
            self._wanted.put(_Wanted(piece, url, False, False, 0.0))
            self._keep(piece)

    def _keep(self, piece: Piece) -> None:
        self._cursor = piece.behind
        self._last = piece

    def _is_elsewhere(self, playlist: MediaPlaylist) -> bool:
        """Whether this is another run of the stream: what we had has another name, or is ahead."""
        assert self._cursor is not None
        if self._cursor[0] > playlist.last_msn + 2:
            return True
        last = self._last
        segment = next((s for s in playlist.every if last and s.msn == last.msn), None)
        if last is None or segment is None:
            return False
        if last.is_whole:
            return segment.uri != last.uri
        return last.part < len(segment.parts) and segment.parts[last.part].uri != last.uri


def _text(answer: Answer) -> bytes | None:
    """A playlist as it was before it was packed; None: there is none."""
    if answer.status != 200:
        return None
    if answer.header("content-encoding").lower() == "gzip":
        return unpacked(answer.body, MAX_PLAYLIST_BYTES)
    return answer.body


def _address(base: str, uri: str, byterange: str) -> Address:
    """Where a URI leads; an empty address if it may not be fetched."""
    url = resolve(base, uri) if uri else None
    return Address(url, byterange) if url and is_usable(byterange) else Address("")
