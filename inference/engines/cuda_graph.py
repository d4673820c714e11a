"""CUDA graphs by the driver's own functions: PyCUDA wraps the driver, but not these.

What is enqueued on a stream between :func:`begin` and :func:`end` is recorded, not run; a recording
is launched with one call, which spares the launch of every kernel. Nothing else of the process may
use the GPU while one is made.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_int, c_ulonglong, c_void_p
from functools import cache

_RELAXED = 2  # CU_STREAM_CAPTURE_MODE_RELAXED: other threads may go on
_LIBRARY = "libcuda.so.1"


class CudaFailed(Exception):
    """A function of the driver did not do it; the message has its name and code."""


class Graph:
    """A recording to be launched again and again, with the addresses that it was made with."""

    def __init__(self, handle: c_void_p) -> None:
        self._handle = handle

    def launch(self, stream: int) -> None:
        """Enqueue it.

        Raises:
            CudaFailed: the driver refused.
        """
        _call("cuGraphLaunch", self._handle, c_void_p(stream))

    def release(self) -> None:
        """Give its memory back.

        Raises:
            CudaFailed: the driver refused.
        """
        _call("cuGraphExecDestroy", self._handle)


def begin(stream: int) -> None:
    """Start recording.

    Raises:
        CudaFailed: the driver refused.
    """
    _call("cuStreamBeginCapture_v2", c_void_p(stream), c_int(_RELAXED))


def end(stream: int) -> Graph:
    """Stop recording and make it launchable.

    Raises:
        CudaFailed: something was enqueued that cannot be recorded.
    """
    recorded, launchable = c_void_p(), c_void_p()
    _call("cuStreamEndCapture", c_void_p(stream), byref(recorded))
    try:
        _call("cuGraphInstantiateWithFlags", byref(launchable), recorded, c_ulonglong(0))
    finally:
        _call("cuGraphDestroy", recorded)
    return Graph(launchable)


def _call(name: str, *arguments: object) -> None:
    code = getattr(_driver(), name)(*arguments)
    if code:
        raise CudaFailed(f"{name} answered {code}")


@cache
def _driver() -> ctypes.CDLL:
    return ctypes.CDLL(_LIBRARY)
