"""``python -m inference``: the process of one worker; see :mod:`inference.worker`.

``python -m inference sessions``: that of many; see :mod:`inference.sessions`.
"""

import gc
import os
import sys

from inference import lifeline

if __name__ == "__main__":
    lifeline.obey_signals()  # before the slow imports: a supervisor may change its mind early
    # One core is ours. Set before numpy loads: its threads start at import, and cost memory.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    gc.disable()  # what loads stays: to look through it meanwhile takes a twentieth of the start
    if sys.argv[1:] == ["sessions"]:
        from inference.sessions import main
    else:
        from inference.worker import main

    gc.freeze()
    gc.enable()
    raise SystemExit(main())
