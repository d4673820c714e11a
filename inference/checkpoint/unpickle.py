"""Reading a pickle of numbers and names, and nothing else.

A pickle is a program: it names things to import and calls them. The published configurations need
numpy's arrays and plain containers; whatever else one asks for is refused before it is imported.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from inference.checkpoint.errors import ConfigurationRejected, ForbiddenName
from inference.files import regular_file

Array = np.ndarray[Any, np.dtype[Any]]

MAX_BYTES = 1_000_000  # the published ones have 31 kB
# A pickle may use a value again and again, each time within the one before: a few bytes stand for
# more values than there is time to look at.
MOST_VALUES = 1_000_000
MOST_TUPLES_AGAIN = 8  # as keys of a table they are hashed whole while the pickle is read


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
        _check_tuples(data)
        return _Finishing().value(_Reader(path, data).load())
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
    """An array in the making; :class:`_Finishing` takes the value out."""

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


class _Finishing:
    """Values with arrays in place of what stood for them; one that is used twice is made once.

    Whoever looks at the result goes through all of it, so that what is used twice counts twice.
    """

    def __init__(self) -> None:
        # by identity, with the value itself, so that no other gets its number
        self._made: dict[int, tuple[Any, Any, int]] = {}

    def value(self, raw: Any) -> Any:
        """What ``raw`` stands for.

        Raises:
            ValueError: it has too many values.
            RecursionError: it holds itself.
        """
        return self._of(raw)[0]

    def _of(self, raw: Any) -> tuple[Any, int]:
        if isinstance(raw, _Array):
            return raw.value, 1
        if not isinstance(raw, (dict, list, tuple)):
            return raw, 1
        if id(raw) not in self._made:
            made, count = self._container(raw)
            self._made[id(raw)] = raw, made, count
        _raw, made, count = self._made[id(raw)]
        return made, count

    def _container(self, raw: Any) -> tuple[Any, int]:
        flat = [each for pair in raw.items() for each in pair] if isinstance(raw, dict) else raw
        parts = [self._of(each) for each in flat]
        count = 1 + sum(each for _value, each in parts)
        if count > MOST_VALUES:
            raise ValueError(f"has more than {MOST_VALUES:,} values")
        values = [value for value, _count in parts]
        if isinstance(raw, dict):
            return dict(zip(values[::2], values[1::2], strict=True)), count
        return type(raw)(values), count


def _check_tuples(data: bytes) -> None:
    """Refuse a pickle whose tuples are used again and again.

    Nothing else that it can hold is hashed by what is in it. What no pickler writes for a
    configuration (sets, values doubled on the stack) is not taken at all.
    """
    kept: dict[int, bool] = {}  # whether it may be a tuple, by its number
    again, before = 0, ""
    for name, argument in _codes(data):
        if name in _NEVER:
            raise pickle.UnpicklingError(f"it uses {name}")
        if "PUT" in name or name == "MEMOIZE":
            place = len(kept) if argument is None else int(argument)
            kept[place] = before not in _NO_TUPLE
        elif "GET" in name:
            again += kept.get(int(argument), False)
            if again > MOST_TUPLES_AGAIN:
                raise pickle.UnpicklingError(f"it uses {again} tuples again")
        if name not in ("PROTO", "FRAME"):
            before = name


def _codes(data: bytes) -> Iterator[tuple[str, Any]]:
    """What a pickle does, step by step, as names with their arguments."""
    try:
        yield from ((code.name, argument) for code, argument, _at in pickletools.genops(data))
    except ValueError as error:
        raise pickle.UnpicklingError(str(error)) from error


_NEVER = ("DUP", "EMPTY_SET", "ADDITEMS", "FROZENSET")
# Behind these the top of the stack, which is what gets kept, is certainly no tuple.
_NO_TUPLE = {
    *("GLOBAL", "STACK_GLOBAL", "REDUCE", "LIST", "DICT", "EMPTY_LIST", "EMPTY_DICT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BINUNICODE8", "BYTEARRAY8"),
}


_KNOWN: dict[tuple[str, str], str | type] = {
    ("numpy", "ndarray"): "ndarray",  # is only handed to _reconstruct, which makes no other class
    ("numpy", "dtype"): "_dtype",
    ("numpy.core.multiarray", "_reconstruct"): "_reconstruct",
    ("numpy.core.multiarray", "scalar"): "_scalar",
    ("numpy.core.numeric", "_frombuffer"): "_from_buffer",
    ("_codecs", "encode"): "_encode",
    ("collections", "OrderedDict"): OrderedDict,
}
