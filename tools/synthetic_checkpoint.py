"""Write a checkpoint of tiny networks: the whole of Ditto's pipeline runs on it, on any CPU.

python -m tools.synthetic_checkpoint FOLDER
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from inference.synthetic.checkpoint import write


def main() -> int:
    """Write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="made if missing")
    folder: Path = parser.parse_args().folder
    write(folder)
    print(f"{folder}: a synthetic checkpoint")
    return 0


if __name__ == "__main__":
    sys.exit(main())
