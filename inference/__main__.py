"""``python -m inference``: the inference worker process; see :mod:`inference.worker`."""

import gc
import os

from inference import lifeline

if __name__ == "__main__":
    lifeline.obey_signals()  # before the slow imports: a supervisor may change its mind early
    # One core is ours. Set before numpy loads: its threads start at import, and cost memory.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    gc.disable()  # what loads stays: to look through it meanwhile takes a twentieth of the start
    from inference.worker import main

    gc.freeze()
    gc.enable()
    raise SystemExit(main())
