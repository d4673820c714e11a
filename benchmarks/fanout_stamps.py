"""When was each part renamed into tmpfs? A process of its own, so that nothing busy delays it.

python -m benchmarks.fanout_stamps FOLDER    writes "<name> <monotonic ns>" lines until it is ended
"""

from __future__ import annotations

import sys
import time

import inotify_simple
from inotify_simple import flags


def main() -> None:
    inotify = inotify_simple.INotify()
    inotify.add_watch(sys.argv[1], flags.MOVED_TO)
    sys.stdout.write("watching 0\n")
    sys.stdout.flush()
    while True:
        for happened in inotify.read():
            now = time.monotonic_ns()
            sys.stdout.write(f"{happened.name} {now}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
