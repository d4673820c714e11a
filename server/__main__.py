"""``python -m server`` is ``lipstream``."""

import sys

from server.cli import main

sys.exit(main())
