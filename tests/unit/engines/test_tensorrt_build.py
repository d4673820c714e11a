"""What TensorRT is asked to build, and what the command says; nothing here is built."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from inference.engines import tensorrt_library
from inference.engines.engine_files import AMPERE_PLUS, Recipe, recipe
from inference.engines.errors import NetworkUnusable
from inference.engines.grid_sample import MARK
from inference.engines.tensorrt_build import OPTIMISATION_LEVEL, build
from inference.engines.tensorrt_library import Library
from inference.progress import Progress
from server.cli import main
from tests.unit.engines import stand_in


class Asked:
    """A stand-in for TensorRT's builder that writes down what it was asked for."""

    def __init__(
        self, *, parses: bool = True, builds: bool = True, strongly_typed: int = 1
    ) -> None:
        self.flags = -1
        self.model = onnx.ModelProto()
        self.cleared: list[str] = []
        self.shapes: dict[str, tuple[Any, ...]] = {}
        self.config: Any = None
        self.built = 0
        self._parses, self._builds = parses, builds
        self.trt = SimpleNamespace(
            __version__="11.4.0",
            ILogger=stand_in.Logger,
            Builder=self._builder,
            OnnxParser=self._parser,
            # 1 in TensorRT 10, 0 in 11: the bit is what the library says
            NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=strongly_typed),
            BuilderFlag=SimpleNamespace(TF32="TF32"),
            HardwareCompatibilityLevel=SimpleNamespace(AMPERE_PLUS="ampere plus"),
            IProgressMonitor=type("IProgressMonitor", (), {"__init__": lambda _self: None}),
        )
        closed = SimpleNamespace(pop=lambda: None)
        self.library = Library(self.trt, None, closed, "Stand-in 8.9")

    def _builder(self, logger: Any) -> Any:
        self._logger = logger
        return SimpleNamespace(
            create_network=self._network,
            create_builder_config=self._configuration,
            create_optimization_profile=lambda: SimpleNamespace(set_shape=self._shape),
            build_serialized_network=self._build,
        )

    def _network(self, flags: int) -> str:
        self.flags = flags
        return "network"

    def _parser(self, _network: Any, _logger: Any) -> Any:
        return SimpleNamespace(
            parse=self._parse, num_errors=1, get_error=lambda _i: "No importer for GridSample3D"
        )

    def _parse(self, data: bytes, _path: str) -> bool:
        self.model = onnx.load_from_string(data)
        return self._parses

    def _configuration(self) -> Any:
        self.config = SimpleNamespace(
            clear_flag=self.cleared.append,
            add_optimization_profile=lambda _profile: 0,
            hardware_compatibility_level=None,
        )
        return self.config

    def _shape(self, name: str, *shapes: tuple[int, ...]) -> None:
        self.shapes[name] = shapes

    def _build(self, _network: Any, config: Any) -> bytes | None:
        monitor = config.progress_monitor
        monitor.phase_start("Building", None, 2)
        monitor.phase_start("Tactics", "Building", 100)
        for name, step in (("Tactics", 50), ("Building", 0), ("Building", 1)):
            assert monitor.step_complete(name, step) is True
        monitor.phase_finish("Building")
        if not self._builds:
            self._logger.log(stand_in.Logger.ERROR, "Cuda out of memory")
            return None
        self.built += 1
        return f"engine {self.built}".encode()


def of(folder: Path, stem: str) -> tuple[Path, Recipe]:
    path = folder / "ditto_onnx" / f"{stem}.onnx"
    return path, recipe(path, "ab" * 32, "11.4.0", "Stand-in 8.9")


def types_in(model: onnx.ModelProto) -> set[int]:
    return {tensor.data_type for tensor in model.graph.initializer}


@pytest.mark.parametrize("bit", [0, 1])
def test_a_network_in_half_precision(folder: Path, bit: int) -> None:
    asked, shares = Asked(strongly_typed=bit), list[float]()
    path, wanted = of(folder, "warp_network_ori")
    assert build(asked.library, path, wanted, shares.append) == b"engine 1"
    assert asked.flags == 1 << bit
    assert onnx.TensorProto.FLOAT16 in types_in(asked.model)
    assert any(MARK in node.name for node in asked.model.graph.node)
    assert asked.cleared == []
    assert asked.shapes == {}
    assert asked.config.builder_optimization_level == OPTIMISATION_LEVEL
    assert asked.config.hardware_compatibility_level is None
    assert shares == [0.5, 1.0]  # of the outermost phase alone


def test_an_exact_network_with_free_lengths(folder: Path) -> None:
    asked = Asked()
    path, wanted = of(folder, "hubert")
    build(asked.library, path, wanted, lambda _share: None)
    assert onnx.TensorProto.FLOAT16 not in types_in(asked.model)
    assert asked.model == onnx.load(path)
    assert asked.cleared == ["TF32"]
    assert asked.shapes == {"input_values": ((1, 3240), (1, 6480), (1, 12960))}


def test_for_ampere_and_newer(folder: Path) -> None:
    asked = Asked()
    path, wanted = of(folder, "stitch_network")
    build(asked.library, path, replace(wanted, gpu=AMPERE_PLUS), lambda _share: None)
    assert asked.config.hardware_compatibility_level == "ampere plus"


def test_what_cannot_be_read_or_built(folder: Path) -> None:
    path, wanted = of(folder, "stitch_network")
    with pytest.raises(NetworkUnusable, match="No importer for GridSample3D"):
        build(Asked(parses=False).library, path, wanted, lambda _share: None)
    with pytest.raises(NetworkUnusable, match="Cuda out of memory; free the GPU's memory"):
        build(Asked(builds=False).library, path, wanted, lambda _share: None)


def test_lipstream_build_engines(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = Asked()
    monkeypatch.setattr(tensorrt_library, "open_library", lambda _gpu: asked.library)
    call = ["build-engines", "--checkpoint", str(folder), "--engine-folder", str(tmp_path)]
    assert main([*call, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.count("to be built") == 10
    assert "hubert.onnx: fp32, to be built: hubert_fp32-" in said
    assert list(tmp_path.glob("*.engine")) == []
    assert main(call) == 0
    assert "10 built, 0 were there, 0 failed" in capsys.readouterr().out
    assert len(list(tmp_path.glob("*.engine"))) == 10
    next(tmp_path.glob("decoder_*.engine")).unlink()
    assert main(call) == 0
    assert "1 built, 9 were there, 0 failed" in capsys.readouterr().out
    assert main([*call, "--ampere-plus"]) == 0
    assert "10 built, 0 were there, 0 failed" in capsys.readouterr().out
    failing = Asked(builds=False)
    monkeypatch.setattr(tensorrt_library, "open_library", lambda _gpu: failing.library)
    assert main([*call, "--fresh"]) == 1
    told = capsys.readouterr()
    assert "0 built, 0 were there, 10 failed" in told.out
    assert told.err.count("Cuda out of memory") == 10
    assert len(list(tmp_path.glob("*.engine"))) == 20  # those that were there still are


def test_a_folder_that_cannot_be_written(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = Asked()
    monkeypatch.setattr(tensorrt_library, "open_library", lambda _gpu: asked.library)
    (tmp_path / "file").touch()
    call = ["build-engines", "--checkpoint", str(folder)]
    assert main([*call, "--engine-folder", str(tmp_path / "file")]) == 2
    assert "give another folder" in capsys.readouterr().err


class Terminal:
    """A stderr that is one, and what was written to it."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return self.is_terminal

    is_terminal = True


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_for_terminals(monkeypatch: pytest.MonkeyPatch, is_terminal: bool) -> None:
    stderr = Terminal()
    stderr.is_terminal = is_terminal
    monkeypatch.setattr(sys, "stderr", stderr)
    with Progress(4, "engines", "engine") as progress:
        progress.reach(1.5, "hubert")
        progress.reach(1.0)  # never back
        progress.step("decoder")
        assert progress._bar.n == (2.5 if is_terminal else 0)
        progress.reach(4)
    assert ("engines" in stderr.text) == is_terminal
    assert bool(stderr.text) == is_terminal
