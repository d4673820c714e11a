"""Follow all renditions of a live stream as players do, and write down what comes.

Per rendition one thread holds reloads and another fetches what they list, so that fetching never
delays the next reload. Everything is bounded: time, renditions, bytes.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from client.errors import CannotCheck
from client.fetch import Answer, Fetch, resolve
from client.observation import Address, Observation, Reload, Rendition, Resource
from client.playlists import MediaPlaylist, Multivariant
from client.reader import is_multivariant, read_media_playlist, read_multivariant

MAX_RENDITIONS = 8
MAX_MEDIA_BYTES = 256 * 1024 * 1024
# Older ones are history, which players do not fetch either.
_NEWEST_SEGMENTS = 4
_NEWEST_KEY_FRAMES = 2
_FIRST_ERRORS = 5
_REDIRECTS = 3
_BYTERANGE = re.compile(r"[1-9][0-9]{0,17}@[0-9]{1,18}")


@dataclass(slots=True)
class _Media:
    """What was fetched so far, shared by the threads."""

    answers: dict[Address, tuple[str, list[Answer]]] = field(default_factory=dict)
    left_bytes: int = MAX_MEDIA_BYTES
    notes: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def claim(self, address: Address, kind: str) -> bool:
        """Whether the caller is the first to want it and there is room."""
        with self.lock:
            if address in self.answers:
                return False
            if self.left_bytes <= 0:
                self.notes.append(f"media beyond {MAX_MEDIA_BYTES} bytes were not fetched")
                return False
            self.answers[address] = (kind, [])
            return True

    def keep(self, address: Address, answer: Answer) -> None:
        with self.lock:
            self.answers[address][1].append(answer)
            self.left_bytes -= len(answer.body)


def observe(url: str, seconds: float, fetch: Fetch) -> Observation:
    """Watch a stream.

    Args:
        url: of a multivariant or a media playlist.
        seconds: how long to follow it.
        fetch: asks for one file.

    Raises:
        CannotCheck: nothing there could be judged.
    """
    began = time.monotonic()
    first = first_answer(url, fetch)
    multivariant = read_multivariant(first.body) if is_multivariant(first.body) else None
    urls = rendition_urls(first.url, multivariant)
    if not urls:
        raise CannotCheck(url, "the multivariant playlist names no media playlist")
    media = _Media()
    followers = [_Follower(each, fetch, began + seconds, media) for each in urls]
    for follower in followers:
        follower.start()
    for follower in followers:
        follower.join(began + seconds + 60)
    renditions = tuple(
        Rendition(short_name(follower.url), follower.url, tuple(follower.reloads))
        for follower in followers
        if any(reload.playlist for reload in follower.reloads)
    )
    if not renditions:
        told = next((f.reloads[-1].answer.told for f in followers if f.reloads), "no answer")
        raise CannotCheck(url, f"no media playlist could be read: {told}")
    _fetch_again(renditions, media, fetch)
    iframes = iframe_playlists(first.url, multivariant, fetch)
    for address in key_frames(iframes):
        if media.claim(address, "iframe"):
            media.keep(address, fetch(address.url, headers=address.range_header))
    return Observation(
        url=first.url,
        first=first,
        multivariant=multivariant,
        renditions=renditions,
        media=_resources(media),
        seconds=time.monotonic() - began,
        notes=tuple(dict.fromkeys(media.notes)),
        iframes=iframes,
    )


def first_answer(url: str, fetch: Fetch) -> Answer:
    """The playlist at the address; redirects are followed here, and judged by rule 67.

    Raises:
        CannotCheck: there is none.
    """
    for _ in range(_REDIRECTS + 1):
        answer = fetch(url)
        target = resolve(url, answer.header("location")) if answer.header("location") else None
        if not 300 <= answer.status < 400 or target is None:
            break
        url = target
    if answer.status != 200:
        is_lasting = 400 <= answer.status < 500
        reason = answer.error or f"the answer was {answer.status}"
        raise CannotCheck(url, reason, is_lasting=is_lasting)
    if b"#EXT" not in answer.body[:4096]:
        raise CannotCheck(url, "the answer is no playlist")
    return answer


def short_name(url: str) -> str:
    """The end of an address, for people."""
    return "/".join(urlsplit(url).path.split("/")[-2:]).lstrip("/")


def rendition_urls(base: str, multivariant: Multivariant | None) -> list[str]:
    """Addresses of all media playlists, the given one where there is no other."""
    if multivariant is None:
        return [base]
    uris = [variant.uri for variant in multivariant.variants]
    uris += [media.uri for media in multivariant.media if media.uri]
    found = (resolve(base, uri) for uri in uris)
    return list(dict.fromkeys(url for url in found if url))[:MAX_RENDITIONS]


def iframe_playlists(
    base: str, multivariant: Multivariant | None, fetch: Fetch
) -> tuple[Rendition, ...]:
    """The I-frame playlists that a multivariant playlist names, as they are now."""
    uris = [stream.uri for stream in multivariant.iframes] if multivariant else []
    urls = dict.fromkeys(url for uri in uris if uri and (url := resolve(base, uri)))
    found = []
    for url in list(urls)[:MAX_RENDITIONS]:
        answer = fetch(url)
        playlist = read_media_playlist(answer.body) if answer.status == 200 else None
        found.append(Rendition(short_name(url), url, (Reload(answer, playlist),)))
    return tuple(found)


def key_frames(iframes: tuple[Rendition, ...]) -> Iterator[Address]:
    """The newest ranges of I-frame playlists, and their init segments."""
    for rendition in iframes:
        for playlist in rendition.playlists:
            for segment in playlist.segments[-_NEWEST_KEY_FRAMES:]:
                wanted = [(segment.map_uri or "", segment.map_byterange)]
                wanted += [(segment.uri, segment.byterange)] if not segment.gap else []
                found = [rendition.address(*entry) for entry in wanted if is_usable(entry[1])]
                yield from (address for address in found if address is not None)


class _Follower:
    """One rendition: reloads in one thread, media in another."""

    def __init__(self, url: str, fetch: Fetch, until: float, media: _Media) -> None:
        self.url = url
        self.reloads: list[Reload] = []
        self._fetch = fetch
        self._until = until
        self._media = media
        self._wanted: queue.SimpleQueue[tuple[Address, str] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._follow, self._load)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self, deadline: float) -> None:
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))

    def _follow(self) -> None:
        try:
            errors = 0
            body = b""
            playlist: MediaPlaylist | None = None
            # A stream that was there may come back: what it is then is worth knowing.
            while time.monotonic() < self._until and (playlist or errors < _FIRST_ERRORS):
                reload = self._reload(playlist)
                if reload.playlist is None:
                    errors += 1
                    time.sleep(0.2)
                    continue
                playlist = reload.playlist
                self._want(playlist)
                if playlist.ended:
                    return
                self._pause(playlist, changed=reload.answer.body != body)
                body = reload.answer.body
        finally:
            self._wanted.put(None)

    def _reload(self, before: MediaPlaylist | None) -> Reload:
        # After an error without directives: a stream that begins anew is elsewhere.
        is_lost = bool(self.reloads) and self.reloads[-1].playlist is None
        msn, part = next_position(None if is_lost else before)
        query = {"_HLS_msn": msn, "_HLS_part": part}
        url = with_query(self.url, {k: v for k, v in query.items() if v is not None})
        target_duration = (before.target_duration if before else None) or 6
        answer = self._fetch(url, seconds=4 * min(target_duration, 30) + 5)
        playlist = read_media_playlist(answer.body) if answer.status == 200 else None
        reload = Reload(answer, playlist, msn, part)
        self.reloads.append(reload)
        return reload

    def _pause(self, playlist: MediaPlaylist, *, changed: bool) -> None:
        """Without blocking reloads we ask more often than a player, to see when things appear."""
        if playlist.control.can_block_reload and changed:
            return
        # An origin that answers early without news must not be asked in a tight loop.
        wait = 0.05 if playlist.control.can_block_reload else (playlist.target_duration or 2) / 4
        time.sleep(min(wait, max(0, self._until - time.monotonic())))

    def _want(self, playlist: MediaPlaylist) -> None:
        for uri, byterange, kind in wanted_media(playlist):
            url = resolve(self.url, uri)
            if url and self._media.claim(Address(url, byterange), kind):
                self._wanted.put((Address(url, byterange), kind))

    def _load(self) -> None:
        while (wanted := self._wanted.get()) is not None:
            address, _kind = wanted
            answer = self._fetch(address.url, headers=address.range_header)
            self._media.keep(address, answer)


def wanted_media(playlist: MediaPlaylist) -> Iterator[tuple[str, str, str]]:
    """URI, byte range and kind of what a player near the live edge would fetch."""
    for segment in playlist.every[-_NEWEST_SEGMENTS:]:
        found = [(segment.map_uri or "", segment.map_byterange, "init")]
        found += [(part.uri, part.byterange, "part") for part in segment.parts if not part.gap]
        if not segment.gap:
            found.append((segment.uri, segment.byterange, "segment"))
        yield from (entry for entry in found if entry[0] and is_usable(entry[1]))


def is_usable(byterange: str) -> bool:
    """Whether a byte range is none, or one that can be asked for."""
    return not byterange or bool(_BYTERANGE.fullmatch(byterange))


def next_position(playlist: MediaPlaylist | None) -> tuple[int | None, int | None]:
    """Msn and part: what a player asks for next (rule 36)."""
    if playlist is None or not playlist.control.can_block_reload:
        return None, None
    if not playlist.part_target:
        return playlist.last_msn + 1, None
    if playlist.open is None:
        return playlist.last_msn + 1, 0
    return playlist.open.msn, len(playlist.open.parts)


def with_query(url: str, query: Mapping[str, int | str]) -> str:
    """The address with directives added to whatever query it has."""
    if not query:
        return url
    return url + ("&" if urlsplit(url).query else "?") + urlencode(query)


def _fetch_again(renditions: tuple[Rendition, ...], media: _Media, fetch: Fetch) -> None:
    """Everything a second time, as far as rules 29 and 30 say that it must still be there."""
    # The fetching itself takes time: what is owed only just is not asked for.
    for address in still_owed(renditions, time.monotonic() + 2):
        found = media.answers.get(address)
        if found and found[1] and found[1][0].status in (200, 206):
            media.keep(address, fetch(address.url, headers=address.range_header))


def still_owed(renditions: tuple[Rendition, ...], now: float) -> list[Address]:
    """What must still be fetchable at an instant (rules 29 and 30)."""
    found: dict[Address, None] = {}
    for rendition in renditions:
        target_duration = rendition.target_duration
        longest = max(float(playlist.seconds) for playlist in rendition.playlists)
        newest = rendition.snapshots[-1].at
        for known in rendition.timeline.segments:
            left = known.last_at if known.last_at < newest else now
            if now < left + float(known.duration) + longest and known.uri:
                _note(found, rendition, known.uri, known.byterange)
                _note(found, rendition, known.map_uri or "", known.map_byterange)
            parts_left = known.parts_last_at if known.parts_last_at < newest else now
            if now < parts_left + 3 * target_duration:
                for part in known.parts:
                    _note(found, rendition, part.uri, part.byterange)
    return list(found)


def _note(found: dict[Address, None], rendition: Rendition, uri: str, byterange: str) -> None:
    address = rendition.address(uri, byterange)
    if address is not None:
        found[address] = None


def _resources(media: _Media) -> dict[Address, Resource]:
    with media.lock:
        return {
            address: Resource(address, kind, tuple(answers))
            for address, (kind, answers) in media.answers.items()
            if answers
        }
