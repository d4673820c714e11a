"""Which runtime is taken, why not the others, and what the commands say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from config import Settings
from inference.checkpoint.networks import SPECS
from inference.engines import choice, gpu
from inference.engines.choice import AUTO, RUNTIMES, Runtime, choose, open_engine, survey, table
from inference.engines.errors import RuntimeUnusable
from inference.engines.gpu import Gpu
from server.cli import main

ROOT = Path(__file__).resolve().parents[3]


def found(**refusals: str) -> tuple[Runtime, ...]:
    return tuple(
        Runtime(name, "1", "", refusals.get(name.replace("-", "_"), "")) for name in RUNTIMES
    )


def test_the_fastest_that_works() -> None:
    assert choose(found()).name == "tensorrt"
    assert choose(found(tensorrt="old")).name == "onnx-cuda"
    assert choose(found(tensorrt="old", onnx_cuda="no driver")).name == "onnx-cpu"


def test_a_wish_is_kept_or_refused_with_its_reason() -> None:
    assert choose(found(), "onnx-cpu").name == "onnx-cpu"
    with pytest.raises(RuntimeUnusable, match="onnx-cuda cannot be used: no driver"):
        choose(found(onnx_cuda="no driver"), "onnx-cuda")
    with pytest.raises(RuntimeUnusable, match="there is tensorrt, onnx-cuda, onnx-cpu"):
        choose(found(), "openvino")


def test_where_none_works_every_reason_is_told() -> None:
    with pytest.raises(RuntimeUnusable) as caught:
        choose(found(tensorrt="a", onnx_cuda="b", onnx_cpu="c"))
    assert all(
        f"{name}: {why}" in str(caught.value) for name, why in zip(RUNTIMES, "abc", strict=True)
    )


def test_the_settings_have_the_same_names() -> None:
    (item,) = (f for f in Settings.__dataclass_fields__.values() if f.name == "runtime")
    assert item.metadata["choices"] == (AUTO, *RUNTIMES)


def test_here_the_cpu_works(tmp_path: Path) -> None:
    runtimes = survey((), tmp_path)
    assert [r.name for r in runtimes] == list(RUNTIMES)
    assert runtimes[-1].works
    assert runtimes[-1].version
    engine = open_engine("onnx-cpu", threads=1)
    assert (engine.name, engine.device) == ("onnx-cpu", "CPU")
    engine.close()


def test_without_onnx_the_way_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    runtimes = survey()
    assert not any(r.works for r in runtimes[1:])
    assert all("pip install 'lipstream[onnx]'" in r.refusal for r in runtimes[1:])
    with pytest.raises(RuntimeUnusable, match="lipstream"):
        open_engine("onnx-cpu")


def test_the_table() -> None:
    runtimes = found(tensorrt="old")
    lines = table(runtimes, lambda r: r.name == "onnx-cuda").splitlines()
    assert lines[1].split() == ["tensorrt", "1", "old"]
    assert lines[2].split() == ["*", "onnx-cuda", "1", "works"]


NVIDIA_SMI = """NVIDIA L4, 8.9, 550.54.15, 1024, 23034
NVIDIA H200, 9.0, 570.1, [N/A], 143771
"""


def test_gpus_as_their_driver_tells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mib = 1 << 20
    wanted = [
        Gpu("NVIDIA L4", "8.9", "550.54.15", 1024 * mib, 23034 * mib),
        Gpu("NVIDIA H200", "9.0", "570.1", 0, 143771 * mib),
    ]
    assert gpu.parse(NVIDIA_SMI) == wanted
    assert gpu.parse("") == []
    program = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    program.write_text(f"#!/bin/sh\ncat <<EOF\n{NVIDIA_SMI}EOF\n")
    program.chmod(0o755)
    assert gpu.gpus() == (wanted, "")
    assert gpu.memory_in_use(0) == 1024 * mib
    assert gpu.memory_in_use(2) is None
    program.write_text("#!/bin/sh\necho 'Failed to initialize NVML: Driver mismatch'; exit 18\n")
    assert gpu.gpus() == ([], "nvidia-smi: Failed to initialize NVML: Driver mismatch")
    assert gpu.memory_in_use(0) is None


def test_a_driver_that_does_not_match_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "gpus", lambda: ([], "nvidia-smi: Driver mismatch"))
    assert survey()[1].refusal == "nvidia-smi: Driver mismatch"


def test_lipstream_engines(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert main(["engines", "--checkpoint", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in RUNTIMES)
    assert main(["engines", "--json", "--runtime", "onnx-cpu"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(RUNTIMES)
    assert [row["name"] for row in rows if row["chosen"]] == ["onnx-cpu"]
    assert all(bool(row["refusal"]) != row["works"] for row in rows)


def test_lipstream_engines_with_a_wish_that_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "survey", lambda *_a, **_o: found(onnx_cuda="no driver"))
    assert main(["engines", "--runtime", "onnx-cuda"]) == 1
    assert "no driver" in capsys.readouterr().out


def test_lipstream_checkpoint(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Off a terminal progress is a line each half a minute; here nothing takes so long.
    monkeypatch.setattr("inference.progress.SAID_EVERY_SECONDS", 0.0)
    new = tmp_path / "new"
    given = ["--checkpoint", str(new), "--runtime", "onnx-cpu"]
    assert main(["checkpoint", *given]) == 2
    assert "12 files missing" in capsys.readouterr().err
    assert main(["checkpoint", *given, "--synthetic"]) == 0
    told = capsys.readouterr()
    assert "10 networks load with onnx-cpu" in told.out
    said = re.findall(r"^networks: (\d+) of 10, network: (\w+)$", told.err, re.MULTILINE)
    assert [int(count) for count, _name in said] == list(range(1, 11))
    used = {spec.name for spec in SPECS.values() if not spec.research_only}
    assert {name for _count, name in said} == used
    assert main(["checkpoint", *given, "--synthetic"]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert main(["checkpoint", *given, "--face-detector", "insightface"]) == 0
    assert "12 networks load" in capsys.readouterr().out


def test_lipstream_build_engines_without_tensorrt(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert main(["build-engines", "--checkpoint", str(folder)]) == 1
    said = capsys.readouterr().err
    assert "nothing is built: tensorrt cannot be used" in said
    assert "ONNX Runtime, which needs no engines" in said


def test_the_service_needs_none_of_it() -> None:
    """A stream without a talking head loads no networks' runtime."""
    code = (
        "import sys, server.cli, server.serve, inference.worker, inference.source;"
        "server.cli.build_parser();"
        "print({'onnx', 'onnxruntime', 'tensorrt', 'pycuda'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
