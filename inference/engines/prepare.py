"""A network's file as a runtime is given it."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from inference.engines import grid_sample
from inference.engines.errors import GraphUnsupported, NetworkUnusable
from inference.engines.half import to_half

FETCH_AGAIN = "fetch the file again"


def prepared(path: Path, *, half: bool, volumes: bool) -> bytes | None:
    """The graph to load in place of the file's; None: the file as it is.

    Args:
        path: an ONNX file.
        half: in float16, with inputs and outputs in float32.
        volumes: the runtime can sample volumes; else the sampling is rewritten.

    Raises:
        NetworkUnusable: missing, corrupt, or not to be rewritten.
    """
    try:
        samples = grid_sample.mentions(path)
        if not samples and not half:
            return None
        model = onnx.load(path)
        if half:
            model = to_half(model)
        changed = grid_sample.standardise(model) if volumes else grid_sample.rewrite(model)
        return model.SerializeToString() if changed or half else None
    except OSError as error:
        raise NetworkUnusable(path, error.strerror or str(error), "check the path") from error
    except GraphUnsupported as error:
        raise NetworkUnusable(path, str(error), FETCH_AGAIN) from error
    except (DecodeError, ValueError) as error:
        raise NetworkUnusable(path, f"is no readable ONNX file: {error}", FETCH_AGAIN) from error
