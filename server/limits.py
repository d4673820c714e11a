"""How often one address may ask: shared by all web processes, in memory of fixed size.

Libraries for this (limits, flask-limiter) count per process, or in a database that would have to
run beside the service; and what they hold in memory grows with the number of addresses.
"""

from __future__ import annotations

import ipaddress
import mmap
import secrets
import struct
import threading
import time
from collections.abc import Callable, Mapping
from hashlib import blake2b

from config import ConfigError

# Each remembers one moment, 8 bytes. Two addresses that meet in one share its allowance.
_SLOTS = 8192
# A household or a single attacker has a whole /64 of IPv6 addresses.
_IPV6_PREFIX = 64

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class RateLimit:
    """So many a minute for each key, some of them at once; make it before the fork.

    The generic cell rate algorithm: of each key only the moment is kept at which its allowance is
    whole again. Between threads it is exact; two processes that count at the very same moment may
    count once.

    Args:
        per_minute: in the long run.
        burst: at once, after a pause.
        clock: seconds, rising, the same in all processes.
    """

    def __init__(
        self, per_minute: int, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = 60 / per_minute
        self._allowance = self._interval * burst
        self._clock = clock
        self._map = mmap.mmap(-1, 8 * _SLOTS)
        self._lock = threading.Lock()
        self._salt = secrets.token_bytes(16)  # nobody can choose whose slot he shares

    def wait_seconds(self, key: str) -> float:
        """0: one more is allowed now; else so long it is not."""
        return self._wait(self._read(self._slot(key)))

    def take(self, key: str) -> float:
        """Count one if it is allowed; else the seconds until one is."""
        slot = self._slot(key)
        with self._lock:
            whole_at = self._read(slot)
            wait = self._wait(whole_at)
            if not wait:
                whole_at = max(whole_at, self._clock()) + self._interval
                struct.pack_into("<d", self._map, slot, whole_at)
        return wait

    def _wait(self, whole_at: float) -> float:
        return max(0.0, whole_at + self._interval - self._allowance - self._clock())

    def _read(self, slot: int) -> float:
        whole_at: float = struct.unpack_from("<d", self._map, slot)[0]
        return min(whole_at, self._clock() + self._allowance)

    def _slot(self, key: str) -> int:
        digest = blake2b(key.encode("utf-8", "replace"), digest_size=8, key=self._salt).digest()
        return int.from_bytes(digest, "big") % _SLOTS * 8


def parse_networks(text: str) -> tuple[Network, ...]:
    """The networks of the setting ``trusted_proxies``.

    Raises:
        ConfigError: one is no address and no network.
    """
    try:
        return tuple(ipaddress.ip_network(word.strip()) for word in text.split(",") if word.strip())
    except ValueError as error:
        raise ConfigError(
            f"trusted_proxies is {text!r}: {error}; give addresses such as 10.0.0.7 or networks "
            "such as 10.0.0.0/24, commas between"
        ) from error


def client_key(environ: Mapping[str, object], trusted: tuple[Network, ...]) -> str:
    """Who asks, for counting: an IPv4 address or the /64 network of an IPv6 address.

    ``X-Forwarded-For`` is believed only from a trusted proxy, and of it only what trusted proxies
    have added: the last address that is none of theirs.
    """
    peer = _address(str(environ.get("REMOTE_ADDR", "")))
    if peer is None:
        return ""  # no address: a UNIX socket
    forwarded = str(environ.get("HTTP_X_FORWARDED_FOR", "")).split(",")
    while forwarded and _is_trusted(peer, trusted):
        told = _address(forwarded.pop().strip())
        if told is None:
            break
        peer = told
    return _network(peer)


def _address(text: str) -> IpAddress | None:
    try:
        address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_trusted(address: IpAddress, trusted: tuple[Network, ...]) -> bool:
    return any(address in network for network in trusted)


def _network(address: IpAddress) -> str:
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
