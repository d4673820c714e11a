"""Which networks run in half precision, and for which lengths the audio network is built."""

from __future__ import annotations

from inference.checkpoint.networks import HUBERT_SAMPLES, SPECS, Spec

Precision = str  # "fp16" or "fp32"
Profile = dict[str, tuple[tuple[int, ...], ...]]  # of each input of free length: least, usual, most


def in_half(stem: str) -> bool:
    """Whether the network of that file runs in float16; of a file that is not known: no."""
    spec = _of(stem)
    return spec is not None and not spec.fp32


def precision(stem: str) -> Precision:
    """The same as in the names of engines."""
    return "fp16" if in_half(stem) else "fp32"


def profile(stem: str) -> Profile:
    """Shapes of the inputs of free length, for TensorRT; a free batch is 1."""
    spec = _of(stem)
    if spec is None:
        return {}
    if spec.name == "hubert":
        return {"input_values": tuple((1, samples) for samples in HUBERT_SAMPLES)}
    return {
        tensor.name: (tuple(n or 1 for n in tensor.shape),) * 3
        for tensor in spec.inputs
        if None in tensor.shape
    }


def _of(stem: str) -> Spec | None:
    return next((spec for spec in SPECS.values() if stem in spec.stems), None)
