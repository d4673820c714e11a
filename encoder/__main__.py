"""``python -m encoder``: the encoder process of a stream; see :mod:`encoder.process`."""

import gc
import os

if __name__ == "__main__":
    # Its threads start when numpy loads: they cost time and memory, and nothing here needs them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # What loads stays. To look through it again and again meanwhile takes a twentieth of a start
    # that somebody waits for; later, while pictures are due, it need not be looked through at all.
    gc.disable()
    from encoder.main import main

    gc.freeze()
    gc.enable()
    raise SystemExit(main())
