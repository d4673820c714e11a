"""Which renditions of a multivariant playlist a viewer watches."""

from __future__ import annotations

from dataclasses import dataclass

from client.errors import CannotWatch
from client.fetch import resolve
from client.playlists import Media, Multivariant, Variant

HIGHEST, LOWEST = "highest", "lowest"


@dataclass(frozen=True, slots=True)
class Choice:
    """The media playlists to follow."""

    url: str
    sound_url: str | None
    told: str  # for people
    bandwidth: int | None  # as announced


def choose(url: str, multivariant: Multivariant | None, rung: str) -> Choice:
    """Pick a variant and its sound.

    Args:
        url: of the playlist, which URIs are relative to.
        multivariant: None where the address is that of a media playlist.
        rung: ``highest``, ``lowest`` or a RESOLUTION such as ``640x360``.

    Raises:
        CannotWatch: there is no such variant, or none at all.
    """
    if multivariant is None:
        return Choice(url, None, "the only one", None)
    if not multivariant.variants:
        raise CannotWatch(url, "the multivariant playlist names no media playlist")
    variant = _variant(url, multivariant.variants, rung)
    address = resolve(url, variant.uri)
    if address is None:
        raise CannotWatch(url, f"the variant's URI {variant.uri[:80]!r} cannot be fetched")
    sound = next((m for m in _sounds(multivariant, variant) if m.uri), None)
    sound_url = resolve(url, sound.uri) if sound and sound.uri else None
    told = [variant.resolution or "no RESOLUTION", variant.codecs or "no CODECS"]
    return Choice(address, sound_url, ", ".join(told), variant.bandwidth)


def _variant(url: str, variants: tuple[Variant, ...], rung: str) -> Variant:
    by_rate = sorted(variants, key=lambda variant: variant.bandwidth or 0)
    if rung in (HIGHEST, LOWEST):
        return by_rate[0] if rung == LOWEST else by_rate[-1]
    for variant in reversed(by_rate):
        if variant.resolution == rung:
            return variant
    sizes = ", ".join(dict.fromkeys(v.resolution for v in by_rate if v.resolution))
    raise CannotWatch(url, f"there is no rendition {rung!r}: {HIGHEST}, {LOWEST}, {sizes}")


def _sounds(multivariant: Multivariant, variant: Variant) -> list[Media]:
    """Those of the variant's group, the default first."""
    group = [m for m in multivariant.media if m.kind == "AUDIO" and m.group_id == variant.audio]
    return sorted(group, key=lambda media: not media.default) if variant.audio else []
