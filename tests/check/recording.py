"""Watch the made-up stream on a clock of its own: seconds pass in a few milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

from client import probes, rules
from client.fetch import Answer, resolve
from client.observation import Address, Observation, Reload, Rendition, Resource
from client.observe import (
    iframe_playlists,
    key_frames,
    next_position,
    rendition_urls,
    short_name,
    still_owed,
    wanted_media,
    with_query,
)
from client.probes.site import Site
from client.reader import is_multivariant, read_media_playlist, read_multivariant
from client.report import gather
from client.verdicts import Finding, run_all
from tests.check.origin import Origin

URL = "http://origin.test/live/made-up/index.m3u8"
BEGIN, SECONDS = 14.0, 4.5
_LATENCY = 0.002
_SETTLE = 1.5  # a last held reload may end a segment later


# Rules that watching tells nothing about.
_ONLY_ASKED = {check.rule for check in probes.CHECKS} - {check.rule for check in rules.CHECKS}
_SHORT_SECONDS = 2.5


class VirtualFetch:
    """Asks an origin; its clock moves to the moment at which the answer has come."""

    def __init__(self, origin: Origin, now: float) -> None:
        self.now = now
        self._origin = origin

    def __call__(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        seconds: float = 10,
    ) -> Answer:
        asked_at = self.now
        sent = {"Accept-Encoding": "identity", **(headers or {})}
        reply = self._origin.answer(method, url, sent, Fraction(asked_at + _LATENCY))
        first = float(reply.at) + _LATENCY
        self.now = first + reply.spread
        if self.now - asked_at > seconds:
            self.now = asked_at + seconds
            return Answer(url, method, 0, (), b"", asked_at, self.now, self.now, "timed out")
        found = tuple((name.lower(), value) for name, value in reply.headers.items())
        return Answer(url, method, reply.status, found, reply.body, asked_at, first, self.now)


def record(origin: Origin, begin: float = BEGIN, seconds: float = SECONDS) -> Observation:
    """What :func:`client.observe.observe` would have written down."""
    first = VirtualFetch(origin, begin)(URL)
    multivariant = read_multivariant(first.body) if is_multivariant(first.body) else None
    answers: dict[Address, tuple[str, list[Answer]]] = {}
    followed = (
        Rendition(short_name(url), url, tuple(_follow(origin, url, begin, seconds, answers)))
        for url in rendition_urls(URL, multivariant)
    )
    renditions = tuple(rendition for rendition in followed if rendition.playlists)
    for address in still_owed(renditions, begin + seconds + _SETTLE):
        if address in answers:
            fetch = VirtualFetch(origin, begin + seconds + _SETTLE)
            answers[address][1].append(fetch(address.url, headers=address.range_header))
    fetch = VirtualFetch(origin, begin + seconds + _SETTLE)
    iframes = iframe_playlists(URL, multivariant, fetch)
    for address in key_frames(iframes):
        if address not in answers:
            answers[address] = ("iframe", [fetch(address.url, headers=address.range_header)])
    media = {a: Resource(a, kind, tuple(found)) for a, (kind, found) in answers.items()}
    return Observation(URL, first, multivariant, renditions, media, seconds, iframes=iframes)


def _follow(
    origin: Origin,
    url: str,
    begin: float,
    seconds: float,
    answers: dict[Address, tuple[str, list[Answer]]],
) -> list[Reload]:
    fetch, reloads, playlist = VirtualFetch(origin, begin), list[Reload](), None
    while fetch.now < begin + seconds and not (playlist and playlist.ended):
        msn, part = next_position(playlist)
        query = {"_HLS_msn": msn, "_HLS_part": part}
        answer = fetch(with_query(url, {k: v for k, v in query.items() if v is not None}))
        playlist = read_media_playlist(answer.body) if answer.status == 200 else None
        reloads.append(Reload(answer, playlist, msn, part))
        if playlist is None or (len(reloads) > 1 and answer.seconds < 0.05):
            fetch.now += 0.05
        for uri, byterange, kind in wanted_media(playlist) if playlist else ():
            address = Address(resolve(url, uri) or "", byterange)
            if address not in answers:
                asked = VirtualFetch(origin, fetch.now)(address.url, headers=address.range_header)
                answers[address] = (kind, [asked])
    return reloads


def findings(
    origin: Origin,
    *,
    rule: int | None = None,
    http2: Callable[[Answer], Answer | None] = lambda answer: answer,
) -> list[Finding]:
    """Everything that the check says about an origin, or what it says about one rule.

    Args:
        origin: that is watched and asked.
        rule: if one is enough.
        http2: what comes over HTTP/2 of what would come over HTTP/1.1.
    """
    seconds = _SHORT_SECONDS if rule in _ONLY_ASKED else SECONDS
    observation = record(origin, seconds=seconds)
    fetch = VirtualFetch(origin, BEGIN + seconds + _SETTLE + 0.1)
    site = Site(fetch, observation, lambda url: http2(fetch(url)))
    found = run_all([c for c in rules.CHECKS if rule in (None, c.rule)], observation)
    return gather(found + run_all([c for c in probes.CHECKS if rule in (None, c.rule)], site))
