"""Progress on the terminal."""

from __future__ import annotations

import sys
from types import TracebackType

from tqdm import tqdm


class Progress:
    """A bar on stderr if that is a terminal, else nothing: logs are no place for bars.

    Args:
        total: how many units there are; may be a fraction.
        what: stands in front.
        unit: behind the numbers, such as frame.
    """

    def __init__(self, total: float, what: str, unit: str) -> None:
        self._bar = tqdm(
            total=total,
            desc=what,
            unit=f" {unit}",
            disable=None,  # off where stderr is no terminal
            file=sys.stderr,
            leave=False,
            dynamic_ncols=True,
        )

    def reach(self, done: float, doing: str = "") -> None:
        """So many units are done; it never goes back."""
        if doing:
            self._bar.set_postfix_str(doing, refresh=False)
        self._bar.update(max(0.0, done - self._bar.n))

    def step(self, doing: str = "") -> None:
        """One unit more."""
        self.reach(self._bar.n + 1, doing)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
