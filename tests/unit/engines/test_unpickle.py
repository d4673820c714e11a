"""A foreign pickle is read as numbers and names, or refused by name."""

from __future__ import annotations

import os
import pickle
import pickletools
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.checkpoint import unpickle
from inference.checkpoint.errors import ConfigurationRejected, ForbiddenName

PLAIN: list[Any] = [
    {"a": (1, None, True, 2.5, "text", b"\x00\xff")},
    OrderedDict(a=1),
    [np.float32(3), np.int64(-4), np.bool_(True)],
]
ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    np.array(5, np.int64),
    np.arange(4, dtype=">i4"),
    np.array([True, False]),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.pkl"


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_values_come_back(file: Path, value: Any, protocol: int) -> None:
    file.write_bytes(pickle.dumps(value, protocol))
    assert unpickle.read(file) == value


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_arrays_come_back(file: Path, array: np.ndarray[Any, Any], protocol: int) -> None:
    file.write_bytes(pickle.dumps({"x": [array]}, protocol))
    found = unpickle.read(file)["x"][0]
    assert type(found) is np.ndarray
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


def test_arrays_of_an_older_numpy_come_back(file: Path) -> None:
    written = pickle.dumps(ARRAYS[0], 2)
    assert b"cnumpy._core.multiarray\n" in written
    file.write_bytes(written.replace(b"numpy._core.", b"numpy.core."))
    assert np.array_equal(unpickle.read(file), ARRAYS[0])


class Runs:
    """Its pickle is a call."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call = (call, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Runs(os.system, "touch /tmp/was-run"), "posix.system"),
        (Runs(eval, "1"), "builtins.eval"),
        (Runs(getattr, "", "join"), "builtins.getattr"),
        (Runs(np.load, "x"), "numpy.load"),
        (Path("x"), "pathlib."),
        (object(), "builtins.object"),
        (np.array([object()]), "builtins.object"),
        (np.random.default_rng(1), "numpy.random"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_everything_else_is_refused_by_name(
    file: Path, value: Any, name: str, protocol: int
) -> None:
    file.write_bytes(pickle.dumps({"emo": value}, protocol))
    with pytest.raises(ForbiddenName) as refused:
        unpickle.read(file)
    assert name.replace("builtins", "") in refused.value.name
    assert str(file) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "EOFError"),
        (b"not a pickle", "UnpicklingError"),
        (pickle.dumps({"x": 1})[:-3], "no readable pickle"),
        (pickle.dumps(np.array([(1, 2.0)], "i4,f4")), "only numbers"),
        (pickle.dumps(np.array(["a"])), "only numbers"),
        (b"\x80\x04}\x8c\x01a(cnumpy\nndarray\n}\x8c\x08__dict__K\x01sbu.", "no readable"),
    ],
)
def test_damage_is_told(file: Path, data: bytes, told: str) -> None:
    file.write_bytes(data)
    with pytest.raises(ConfigurationRejected, match=told):
        unpickle.read(file)


@pytest.mark.parametrize("shape", ["lists", "tuples", "keys", "doubled"])
def test_values_within_themselves_are_refused_at_once(file: Path, shape: str) -> None:
    """Few bytes that stand for two to the power of forty values."""
    value: Any = []
    for _ in range(40):
        value = [value, value] if shape == "lists" else (value, value)
    data = pickle.dumps({"emo": value}, 4)
    if shape in ("keys", "doubled"):
        # a tuple as a key is hashed while it is read: all of it, each time
        again = b"\x94h%c\x86" if shape == "keys" else b"2\x86"
        pairs = b"".join(again % i if shape == "keys" else again for i in range(40))
        data = b"\x80\x04}" + b"N" + pairs + b"Ns."
    file.write_bytes(data)
    assert len(data) < 500
    began = time.perf_counter()
    with pytest.raises(ConfigurationRejected):
        unpickle.read(file)
    assert time.perf_counter() - began < 1


def test_a_value_that_holds_itself_is_refused(file: Path) -> None:
    value: list[Any] = []
    value.append(value)
    file.write_bytes(pickle.dumps({"emo": value}, 4))
    with pytest.raises(ConfigurationRejected, match="no readable pickle"):
        unpickle.read(file)


def test_what_is_used_twice_comes_back_twice(file: Path) -> None:
    array, pair = np.arange(3.0), ("exp", "t")
    file.write_bytes(pickle.dumps({"a": [array, array], "b": pair, "c": pair}, 4))
    found = unpickle.read(file)
    assert found["a"][0] is found["a"][1]
    assert (found["b"], found["c"]) == (pair, pair)


def test_too_large(file: Path) -> None:
    with file.open("wb") as stream:
        stream.truncate(unpickle.MAX_BYTES + 1)
    with pytest.raises(ConfigurationRejected, match="more than 1,000,000 bytes"):
        unpickle.read(file)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationRejected, match="cannot be read"):
        unpickle.read(tmp_path / "x.pkl")


@given(st.binary(max_size=200), st.integers(0, 5000), st.binary(min_size=1, max_size=6))
@settings(max_examples=100, deadline=None)
def test_whatever_the_bytes_only_our_errors_come(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes, place: int, hit: bytes
) -> None:
    whole = pickle.dumps({"emo": ARRAYS[0], "k": [1, "b", None]}, 4)
    at = place % len(whole)
    file = tmp_path_factory.getbasetemp() / "fuzzed.pkl"
    for data in (tail, whole[:at] + hit + whole[at + len(hit) :]):
        file.write_bytes(data)
        try:
            unpickle.read(file)
        except ConfigurationRejected:
            continue


def test_the_synthetic_configuration_names_only_what_is_allowed(folder: Path) -> None:
    data = next((folder / "ditto_cfg").iterdir()).read_bytes()
    asked = {argument for code, argument, _at in pickletools.genops(data) if "GLOBAL" in code.name}
    assert asked <= {None, *(" ".join(pair) for pair in unpickle._KNOWN)}
    assert unpickle.read(next((folder / "ditto_cfg").iterdir()))["default_kwargs"]
