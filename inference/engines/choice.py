"""Which runtimes work here, and which one is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inference.engines import engine_files
from inference.engines.errors import NetworkUnusable, RuntimeUnusable
from inference.engines.protocol import Engine

# The fastest first. The values of the setting `runtime`, besides auto.
RUNTIMES = ("tensorrt", "onnx-cuda", "onnx-cpu")
AUTO = "auto"
INSTALL_ONNX = "install it with: pip install 'lipstream[onnx]'"


@dataclass(frozen=True, slots=True)
class Runtime:
    """One runtime as it was found; ``refusal`` says why it cannot be used, "" if it can."""

    name: str
    version: str
    device: str
    refusal: str

    @property
    def works(self) -> bool:
        """Whether it can be used."""
        return not self.refusal


def survey(
    networks: tuple[Path, ...] = (), engines: Path | None = None, *, gpu: int = 0
) -> tuple[Runtime, ...]:
    """Try every runtime.

    Args:
        networks: ONNX files that it should run: TensorRT needs an engine of each.
        engines: folder of the built engines; None: the user's cache.
        gpu: which one.
    """
    folder = engines or engine_files.default_folder()
    return (_tensorrt(networks, folder, gpu), _onnx("onnx-cuda"), _onnx("onnx-cpu"))


def choose(found: tuple[Runtime, ...], wish: str = AUTO) -> Runtime:
    """The one that is wished for, else the first that works.

    Raises:
        RuntimeUnusable: that one does not, or none does; all reasons are told.
    """
    if wish != AUTO:
        asked = next((runtime for runtime in found if runtime.name == wish), None)
        if asked is None:
            raise RuntimeUnusable(wish, f"there is {', '.join(RUNTIMES)}")
        if not asked.works:
            raise RuntimeUnusable(wish, asked.refusal)
        return asked
    for runtime in found:
        if runtime.works:
            return runtime
    raise RuntimeUnusable(
        "none of the runtimes", "; ".join(f"{r.name}: {r.refusal}" for r in found)
    )


def open_engine(
    name: str, engines: Path | None = None, *, gpu: int = 0, threads: int = 0
) -> Engine:
    """An engine of that runtime; it belongs to the calling thread.

    Args:
        name: one of :data:`RUNTIMES`.
        engines: folder of the built engines; None: the user's cache.
        gpu: which one.
        threads: of the CPU, for one run of ``onnx-cpu``; 0: as many as there are cores.

    Raises:
        RuntimeUnusable: it does not work here.
    """
    if name == "tensorrt":
        from inference.engines.tensorrt_engine import TensorRtEngine

        return TensorRtEngine(engines, gpu=gpu)
    import_onnx(name)
    from inference.engines.onnx_engine import OnnxEngine

    return OnnxEngine("cuda" if name == "onnx-cuda" else "cpu", gpu=gpu, threads=threads)


def _tensorrt(networks: tuple[Path, ...], folder: Path, gpu: int) -> Runtime:
    from inference.engines.tensorrt_engine import find_built
    from inference.engines.tensorrt_library import open_library

    try:
        library = open_library(gpu)
    except RuntimeUnusable as error:
        return Runtime("tensorrt", "", "", error.reason)
    try:
        checksums = engine_files.Checksums(folder)
        for path in networks:
            find_built(path, folder, checksums, library)
    except NetworkUnusable as error:
        return Runtime("tensorrt", library.version, library.gpu, str(error))
    finally:
        library.close()
    return Runtime("tensorrt", library.version, library.gpu, "")


def _onnx(name: str) -> Runtime:
    try:
        version = import_onnx(name)
    except RuntimeUnusable as error:
        return Runtime(name, "", "", error.reason)
    from inference.engines.gpu import gpus
    from inference.engines.onnx_engine import refusal

    if name == "onnx-cpu":
        return Runtime(name, version, "CPU", refusal("cpu"))
    found, missing = gpus()
    device = f"{found[0].name} {found[0].compute}" if found else ""
    return Runtime(name, version, device, missing or refusal("cuda"))


def import_onnx(name: str) -> str:
    """The version of ONNX Runtime.

    Raises:
        RuntimeUnusable: it, or the package onnx, does not load.
    """
    try:
        import onnx  # noqa: F401 - graphs are rewritten with it
        import onnxruntime
    except ImportError as error:
        raise RuntimeUnusable(name, f"{error}; {INSTALL_ONNX}") from error
    return str(onnxruntime.__version__)


def table(found: tuple[Runtime, ...], chosen: Callable[[Runtime], bool]) -> str:
    """A table for people; ``chosen`` ones have a star."""
    rows = [("", "runtime", "version", "device", "")]
    for runtime in found:
        star = "*" if chosen(runtime) else ""
        rows.append(
            (star, runtime.name, runtime.version, runtime.device, runtime.refusal or "works")
        )
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = (
        "  ".join((*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[4]))
        for row in rows
    )
    return "".join(line.rstrip() + "\n" for line in lines)
