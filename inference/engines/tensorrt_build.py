"""Building an engine of TensorRT. Has not run on a GPU yet: docs/engines.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from inference.engines.engine_files import AMPERE_PLUS, Recipe
from inference.engines.errors import NetworkUnusable
from inference.engines.prepare import prepared
from inference.engines.tensorrt_library import Library

# The most thorough search for fast kernels: minutes once, milliseconds in every frame.
OPTIMISATION_LEVEL = 5

Progress = Callable[[float], None]  # 0 to 1 of this engine


def build(library: Library, path: Path, recipe: Recipe, progress: Progress) -> bytes:
    """The engine of an ONNX file, as its recipe says.

    Raises:
        NetworkUnusable: the file is corrupt, or TensorRT cannot build it.
    """
    trt, logger = library.trt, library.logger()
    model = prepared(path, half=recipe.precision == "fp16", volumes=False) or path.read_bytes()
    builder = trt.Builder(logger)
    # precision stands in the graph: needed in 10, always so in 11
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model, str(path)):
        said = [str(parser.get_error(i)) for i in range(parser.num_errors)]
        raise NetworkUnusable(path, f"TensorRT cannot read it: {'; '.join(said)}", "report this")
    config = _configured(trt, builder, recipe, progress)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        said = logger.errors or ["no reason given"]
        raise NetworkUnusable(
            path, f"TensorRT cannot build it: {said[-1]}", "free the GPU's memory"
        )
    return bytes(engine)


def _configured(trt: Any, builder: Any, recipe: Recipe, progress: Progress) -> Any:
    config = builder.create_builder_config()
    config.builder_optimization_level = OPTIMISATION_LEVEL
    if recipe.precision == "fp32":
        # else matrices are multiplied with ten bits, and these networks are the ones that mind
        config.clear_flag(trt.BuilderFlag.TF32)
    if recipe.gpu == AMPERE_PLUS:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if recipe.profile:
        profile = builder.create_optimization_profile()
        for name, shapes in recipe.profile.items():
            profile.set_shape(name, *shapes)
        config.add_optimization_profile(profile)
    config.progress_monitor = _monitor(trt, progress)
    return config


def _monitor(trt: Any, progress: Progress) -> Any:
    """Phases have steps, and some steps have phases; only the outermost count."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # the base comes at run time
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._outermost: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if not parent_phase:
                self._outermost[phase_name] = num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            if steps := self._outermost.get(phase_name):
                progress((step + 1) / steps)
            return True  # go on

        def phase_finish(self, phase_name: str) -> None:
            self._outermost.pop(phase_name, None)

    return Monitor()
