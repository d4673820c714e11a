"""Let every player play and write the table: ``python -m tests.compat --markdown PAGE``.

Without a page the table is printed. A player that cannot play is an error, and then nothing is
written: a table with holes looks like one that is complete.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.compat.players import PLAYERS, STREAM_FLAGS, Player, Playground, playground
from tests.compat.result import PLAY_SECONDS, Result
from tests.service import Service, temporary_media_root
from tools import generated

NAME = "players"
HEAD = (
    "player",
    "in, by or from",
    "starts in",
    f"plays, of {PLAY_SECONDS} s",
    "stalls",
    "behind real time",
    "parts, held reloads",
    "video from",
)


def main() -> int:
    """Play, then print or write."""
    parser = argparse.ArgumentParser(prog="python -m tests.compat", description=__doc__)
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="page with the markers")
    page = parser.parse_args().markdown
    with (
        temporary_media_root() as folder,
        Service(Path(folder) / "media", STREAM_FLAGS) as service,
        playground(service.url) as ground,
    ):
        results = [found for player in PLAYERS if (found := _try(ground, player)) is not None]
    table = generated.table(HEAD, map(row, results))
    if len(results) < len(PLAYERS):
        print(table)
        return 1
    if page is None:
        print(table)
    else:
        generated.write(page, NAME, table)
    return 0


def row(result: Result) -> tuple[str, ...]:
    """One line of the table."""
    playing = result.playing
    latency = playing.latency_seconds
    name = result.name if playing.version in result.name else f"{result.name} {playing.version}"
    return (
        name,
        result.host,
        f"{playing.started_seconds:.1f} s" + (f", load {playing.loads}" * (playing.loads > 1)),
        f"{playing.played_seconds:.1f} s",
        str(playing.stalls),
        "does not say" if latency is None else f"{latency:.1f} s",
        f"{result.parts}, {result.held_reloads}" if result.takes_low_latency else "no",
        ", ".join(result.rungs),
    )


def _try(ground: Playground, player: Player) -> Result | None:
    try:
        return ground.result(player)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - a missing program is pytest's own kind
        print(f"{player.name}: {error}", file=sys.stderr)
        return None


if __name__ == "__main__":
    sys.exit(main())
