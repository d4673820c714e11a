"""Reading a pickle of numbers and names, and nothing else.

A pickle is a program: it names things to import and calls them. The published configurations need
numpy's arrays and plain containers; whatever else one asks for is refused before it is imported.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from inference.checkpoint.errors import ConfigurationRejected, ForbiddenName
from inference.files import regular_file

Array = np.ndarray[Any, np.dtype[Any]]

MAX_BYTES = 8_000_000  # the published ones have 31 kB


def read(path: Path) -> Any:
    """What the file holds.

    Raises:
        ForbiddenName: it asks for something else than numbers and names.
        ConfigurationRejected: missing, too large, damaged, or an array of objects.
    """
    with regular_file(path, ConfigurationRejected) as fd, open(fd, "rb", closefd=False) as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ConfigurationRejected(
            path, f"has more than {MAX_BYTES:,} bytes", "give a file of ditto_cfg"
        )
    try:
        return _finished(_Reader(path, data).load())
    except ConfigurationRejected:
        raise
    except Exception as error:  # damage shows as nearly any kind of error
        raise ConfigurationRejected(
            path, f"is no readable pickle: {error!r:.200}", "fetch the file again"
        ) from error


class _Reader(pickle.Unpickler):
    """Imports nothing: every name is looked up here."""

    def __init__(self, path: Path, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")  # of numpy's bytes from Python 2
        self._path = path

    def find_class(self, module: str, name: str, /) -> Any:
        """The few things that arrays are made of."""
        # numpy 2 calls it numpy._core, what older ones wrote says numpy.core
        known = _KNOWN.get((module.replace("numpy._core", "numpy.core"), name))
        if known is None:
            raise ForbiddenName(self._path, f"{module}.{name}")
        return getattr(self, known) if isinstance(known, str) else known

    def persistent_load(self, pid: Any, /) -> NoReturn:
        """References to things outside of the file, as torch writes them."""
        raise ForbiddenName(self._path, f"the outside object {pid!r:.80}")

    # Methods, because a pickle can set attributes of what it is given, and those of a bound
    # method cannot be set. Their names stand in _KNOWN.

    ndarray = None

    def _reconstruct(self, _kind: Any, _shape: Any, _code: Any) -> _Array:
        return _Array()

    def _dtype(self, code: Any, _align: Any = False, _copy: Any = True) -> _Kind:
        return _Kind(code)

    def _scalar(self, kind: Any, data: Any = b"") -> Any:
        return np.frombuffer(data, _plain(kind), 1)[0]

    def _from_buffer(self, data: Any, kind: Any, shape: Any, order: Any) -> Array:
        return _filled(data, kind, shape, fortran=order == "F")

    def _encode(self, text: Any, _encoding: Any = "latin1") -> bytes:
        """How protocol 2 writes bytes."""
        encoded: bytes = text.encode("latin1")
        return encoded


class _Kind:
    """A type of numbers. numpy's own takes flags from its state that it would crash on."""

    def __init__(self, code: Any) -> None:
        self.dtype = np.dtype(code) if isinstance(code, str) else np.dtype(object)

    def __setstate__(self, state: Any, /) -> None:
        order = state[1]
        if order not in ("<", ">", "|", "="):
            raise ValueError(f"{order!r:.20} is no order of bytes")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """An array in the making; :func:`_finished` takes the value out."""

    def __init__(self) -> None:
        self.value: Array = np.zeros(0)

    def __setstate__(self, state: Any, /) -> None:
        _version, shape, kind, fortran, data = state
        # protocols 0 to 2 hold the bytes as text
        data = data.encode("latin1") if isinstance(data, str) else data
        self.value = _filled(data, kind, shape, fortran=bool(fortran))


def _filled(data: Any, kind: Any, shape: Any, *, fortran: bool) -> Array:
    return np.frombuffer(data, _plain(kind)).reshape(shape, order="F" if fortran else "C")


def _plain(kind: Any) -> np.dtype[Any]:
    if not isinstance(kind, _Kind) or kind.dtype.kind not in "biuf":
        shown = kind.dtype if isinstance(kind, _Kind) else type(kind).__name__
        raise ValueError(f"arrays of {shown} are not taken, only numbers")
    return kind.dtype


def _finished(value: Any) -> Any:
    """The value, with arrays in place of what stood for them."""
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, dict):
        return {_finished(key): _finished(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_finished(item) for item in value)
    return value


_KNOWN: dict[tuple[str, str], str | type] = {
    ("numpy", "ndarray"): "ndarray",  # is only handed to _reconstruct, which makes no other class
    ("numpy", "dtype"): "_dtype",
    ("numpy.core.multiarray", "_reconstruct"): "_reconstruct",
    ("numpy.core.multiarray", "scalar"): "_scalar",
    ("numpy.core.numeric", "_frombuffer"): "_from_buffer",
    ("_codecs", "encode"): "_encode",
    ("collections", "OrderedDict"): OrderedDict,
}
