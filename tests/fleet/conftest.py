"""A real stream behind every front at once, with a relay that counts what reaches the origin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import fronts
from tests.browser.need import require
from tests.certificates import Pair, make_pair
from tests.fleet.counting import Relay
from tests.fronts import Front
from tests.service import Service, temporary_media_root

SMALL = ("--width", "320", "--height", "180", "--video-kbit", "150", "--web-processes", "1")


@dataclass(frozen=True, slots=True)
class Fleet:
    """What runs. HAProxy and Caddy stand in front of the one Varnish."""

    folder: Path
    relay: Relay
    pair: Pair
    varnish: Front
    nginx: Front
    haproxy: Front
    caddy: Front

    @property
    def media_root(self) -> Path:
        """Of the service that all tests share which change nothing."""
        return self.folder / "media"

    def __getitem__(self, name: str) -> Front:
        found = getattr(self, name)
        assert isinstance(found, Front)
        return found


def start(stack: ExitStack, folder: Path, origin_port: int | None) -> Fleet:
    """Everything in front of an origin."""
    for program in fronts.PROGRAMS.values():
        require(program)
    pair = make_pair(folder)
    relay = stack.enter_context(Relay(origin_port))
    varnish = stack.enter_context(fronts.varnish(folder, relay.port))
    assert varnish.http_port is not None
    return Fleet(
        folder,
        relay,
        pair,
        varnish,
        stack.enter_context(fronts.nginx(folder, relay.port, pair)),
        stack.enter_context(fronts.haproxy(folder, varnish.http_port, pair)),
        stack.enter_context(fronts.caddy(folder, varnish.http_port, pair)),
    )


def port_of(service: Service) -> int:
    """Where it listens."""
    return int(service.url.rpartition(":")[2])


@pytest.fixture(scope="package")
def fleet() -> Iterator[Fleet]:
    """One for all tests that change nothing."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(temporary_media_root()))
        service = stack.enter_context(Service(folder / "media", SMALL))
        yield start(stack, folder, port_of(service))
