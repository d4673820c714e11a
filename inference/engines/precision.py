"""Which networks run in half precision, and for which lengths the audio network is built."""

from __future__ import annotations

from inference.checkpoint.networks import HUBERT_SAMPLES, SPECS

Precision = str  # "fp16" or "fp32"
Profile = dict[str, tuple[tuple[int, ...], ...]]  # of each input of free length: least, usual, most


def in_half(stem: str) -> bool:
    """Whether the network of that file runs in float16; of a file that is not known: no."""
    return any(stem in spec.stems and not spec.fp32 for spec in SPECS.values())


def precision(stem: str) -> Precision:
    """The same as in the names of engines."""
    return "fp16" if in_half(stem) else "fp32"


def profile(name: str) -> Profile:
    """Shapes of the inputs of free length, for TensorRT."""
    if name == "hubert":
        return {"input_values": tuple((1, samples) for samples in HUBERT_SAMPLES)}
    return {
        tensor.name: (tuple(n or 1 for n in tensor.shape),) * 3
        for tensor in SPECS[name].inputs
        if None in tensor.shape
    }
