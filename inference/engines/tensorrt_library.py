"""TensorRT and PyCUDA as they are installed: versions, the CUDA context, messages.

Versions 10 and 11 are taken alike: graphs are typed by themselves (STRONGLY_TYPED is needed in 10
and means nothing more in 11), and nothing is called that either lacks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from inference.engines.errors import RuntimeUnusable

OLDEST, NEWEST = 10, 11
NAME = "tensorrt"


@dataclass(frozen=True, slots=True)
class Library:
    """Both modules, and the GPU they were found to work with."""

    trt: Any
    cuda: Any
    context: Any  # of CUDA: that of the thread which opened it
    gpu: str

    @property
    def version(self) -> str:
        """Of TensorRT."""
        return str(self.trt.__version__)

    def logger(self) -> Any:
        """A logger of TensorRT's kind which keeps the last errors, in ``errors``."""
        return _logger_class(self.trt)()

    def close(self) -> None:
        """Take the context off this thread."""
        self.context.pop()


def open_library(gpu: int = 0, load: Callable[[str], Any] = import_module) -> Library:
    """Import both, and make the GPU's primary context that of this thread.

    The primary context is the one that ONNX Runtime and all others use: a context of one's own
    would double the driver's memory. pycuda.autoinit would make one on whichever thread imports it.

    Raises:
        RuntimeUnusable: what is missing.
    """
    trt = _module("tensorrt", load)
    reason = unsupported(str(trt.__version__))
    if reason:
        raise RuntimeUnusable(NAME, reason)
    cuda = _module("pycuda.driver", load)
    try:
        cuda.init()
        if gpu >= cuda.Device.count():
            raise RuntimeUnusable(NAME, f"there is no GPU {gpu}")
        device = cuda.Device(gpu)
        major, minor = device.compute_capability()
        context = device.retain_primary_context()
        context.push()
    except cuda.Error as error:
        raise RuntimeUnusable(NAME, f"CUDA: {error}") from error
    return Library(trt, cuda, context, f"{device.name()} {major}.{minor}")


def unsupported(version: str) -> str:
    """Why that version of TensorRT is not taken; "" if it is."""
    major = version.partition(".")[0]
    if major.isdigit() and OLDEST <= int(major) <= NEWEST:
        return ""
    return f"version {version} is installed, {OLDEST} and {NEWEST} are supported"


def _module(name: str, load: Callable[[str], Any]) -> Any:
    try:
        return load(name)
    except Exception as error:
        # a missing driver shows as OSError, ImportError or RuntimeError
        package = name.partition(".")[0]
        hint = "; install it with: pip install 'lipstream[gpu]'"
        hint = hint if isinstance(error, ModuleNotFoundError) else ""
        raise RuntimeUnusable(NAME, f"{package} does not load: {error}{hint}") from error


def _logger_class(trt: Any) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]  # the base comes at run time
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors = [*self.errors[-4:], message]

    return Logger
