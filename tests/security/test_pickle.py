"""Nothing of ours loads what can run code: pickles, unsafe YAML, and what is made of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("client", "encoder", "inference", "server", "tools", "benchmarks")
# Modules that run what they load; marshal crashes on what it does not know.
UNSAFE_MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "jsonpickle"}
UNSAFE_MODULES |= {"shelve", "marshal", "pickletools"}
# Calls that may load a pickle, and the argument with its value that makes them safe.
NEEDED = {"np.load": ("allow_pickle", False), "numpy.load": ("allow_pickle", False)}
NEEDED |= {"torch.load": ("weights_only", True)}
# These have no safe form.
UNSAFE_CALLS = {"yaml.load", "yaml.unsafe_load", "yaml.full_load", "pandas.read_pickle"}
UNSAFE_CALLS |= {"eval", "exec", "pd.read_pickle", "tensorrt.deserialize_pickle"}
# The one reader of foreign pickles looks every name up in a table of its own, and has looked at the
# steps before, which `genops` lists without taking them; the maker of test data only writes. What
# either uses of these modules is held to that.
MAY_USE = {
    "inference/checkpoint/unpickle.py": {
        "pickle.Unpickler",
        "pickle.UnpicklingError",
        "pickletools.genops",
    },
    "inference/synthetic/config.py": {"pickle.dumps"},
}


def files() -> list[Path]:
    found = [path for folder in OURS for path in (ROOT / folder).rglob("*.py")]
    return sorted([*found, *ROOT.glob("*.py")])


def problems(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.partition(".")[0] in UNSAFE_MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module.partition(".")[0] in UNSAFE_MODULES:
                yield node.module
        elif isinstance(node, ast.Call):
            yield from _problems_of_call(node)


def _problems_of_call(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    given = {word.arg: word.value for word in node.keywords}
    if name in UNSAFE_CALLS:
        yield name
    allowed = given.get("allow_pickle")
    if allowed is not None and not _is(allowed, False):
        yield f"{name} allows pickles"
    if name in NEEDED:
        argument, value = NEEDED[name]
        if argument not in given or not _is(given[argument], value):
            yield f"{name} without {argument}={value}"


def _is(node: ast.expr, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_loads_code(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    allowed = MAY_USE.get(str(path.relative_to(ROOT)), set())
    assert sorted(problems(tree)) == sorted({name.partition(".")[0] for name in allowed})
    assert uses_of_pickle(tree) == allowed


def test_the_reader_of_pickles_overrides_how_names_are_found() -> None:
    tree = ast.parse((ROOT / "inference/checkpoint/unpickle.py").read_text("utf-8"))
    readers = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and "pickle.Unpickler" in map(ast.unparse, node.bases)
    ]
    assert len(readers) == 1
    made = {node.name for node in readers[0].body if isinstance(node, ast.FunctionDef)}
    assert {"find_class", "persistent_load"} <= made
    assert "super().find_class" not in ast.unparse(readers[0])


def uses_of_pickle(tree: ast.AST) -> set[str]:
    return {
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("pickle", "pickletools")
    }


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "def f():\n    from pickle import loads",
        "import joblib.numpy_pickle",
        "np.load(path)",
        "numpy.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=wished)",
        "np.lib.format.read_array(file, allow_pickle=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text, Loader=yaml.Loader)",
        "eval(text)",
    ],
)
def test_each_way_is_seen(code: str) -> None:
    assert list(problems(ast.parse(code)))


def test_the_safe_forms_are_let_pass() -> None:
    safe = "np.load(p, allow_pickle=False)\ntorch.load(p, weights_only=True)\nyaml.safe_load(t)"
    assert not list(problems(ast.parse(safe)))
