"""Networks that find a face: where the picture is skin-coloured, or, without colour, has detail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.checkpoint.networks import ANCHORS, SPECS, Spec
from inference.engines.protocol import Tensor
from inference.synthetic import template
from inference.synthetic.graph import Graph, Name

SKIN_RG, SKIN_GB = (0.14, 0.1), (0.1, 0.08)  # red over green, green over blue: middle and reach
REACH = 0.44  # of the picture's side, seen from each place: a larger face is not found
FACE_OF_SKIN = 2.9  # width of the box for a spread of 1
SURE = 0.006  # of that window must be skin
MESH_SIZE = 0.66  # height of the mesh in the picture it is given
LANDMARK_SIZE, LANDMARK_V = 0.62, 0.6  # in the first, narrow crop


def save(folder: Path) -> None:
    """Write the five."""
    _blaze_face(folder)
    _insightface_det(folder)
    _face_mesh(folder)
    _landmark106(folder)
    _landmark203(folder)


def _blaze_face(folder: Path) -> None:
    """Two anchors at each of 16 x 16 places answer; the coarse ones see nothing."""
    graph, cells = Graph(SPECS["blaze_face"]), 16
    rgb = graph.op("Transpose", "input", perm=[0, 3, 1, 2])
    rgb = graph.op("Add", graph.op("Mul", rgb, 0.5), 0.5)
    found = _Blobs(graph, rgb, side=128, cells=cells)
    across, down = _cell_centres(cells)
    x = graph.op("Sub", found.x, across)
    y = graph.op("Sub", found.y, down)
    eye, up = graph.op("Mul", found.size, 0.2), graph.op("Mul", found.size, 0.15)
    eyes_y, mouth_y = graph.op("Sub", y, up), graph.op("Add", y, graph.op("Mul", up, 1.7))
    left, right = graph.op("Sub", x, eye), graph.op("Add", x, eye)
    # box, then the places of eyes, nose, mouth and ears
    values = [x, y, found.size, found.size, left, eyes_y, right, eyes_y]
    values += [x, y, x, mouth_y, left, eyes_y, right, eyes_y]
    boxes = graph.op("Mul", graph.op("Concat", *values, axis=1), 128.0)
    idle = ANCHORS - 2 * cells**2
    for name, value, empty in (("regressors", boxes, 0.0), ("classificators", found.score, -100.0)):
        rows = _rows(graph, value, cells, each=2)
        width = 16 if name == "regressors" else 1
        rest = np.full((1, idle, width), empty)
        graph.output(_declared(graph.spec, name), graph.op("Concat", rows, rest, axis=1))
    graph.save(folder)


def _insightface_det(folder: Path) -> None:
    """Only the coarsest grid answers; this one is given blue, green, red."""
    graph, cells = Graph(SPECS["insightface_det"]), 16
    bgr = graph.op("Add", graph.op("Mul", "image", 128 / 255), 0.5)
    rgb = graph.op("Gather", bgr, [2, 1, 0], axis=1)
    found = _Blobs(graph, rgb, side=512, cells=cells)
    across, down = _cell_centres(cells, corner=True)  # its anchors are the cells' corners
    x, y = graph.op("Sub", found.x, across), graph.op("Sub", found.y, down)
    half = graph.op("Mul", found.size, 0.5)
    sides = [graph.op("Sub", half, x), graph.op("Sub", half, y)]
    sides += [graph.op("Add", half, x), graph.op("Add", half, y)]
    values = {
        "scores": graph.op("Sigmoid", found.score),
        "boxes": graph.op("Mul", graph.op("Concat", *sides, axis=1), float(cells)),
        "kps": graph.op("Mul", graph.op("Concat", *[x, y] * 5, axis=1), float(cells)),
    }
    for declared in graph.spec.outputs:
        assert isinstance(declared, Tensor)
        kind = declared.name[:-1]
        if declared.name.endswith("3"):
            rows = _rows(graph, values[kind], cells, each=2)
            graph.output(declared, graph.op("Squeeze", rows, [0]))
        else:
            graph.output(declared, graph.constant(np.zeros([n or 0 for n in declared.shape])))
    graph.save(folder)


def _face_mesh(folder: Path) -> None:
    graph = Graph(SPECS["face_mesh"])
    rgb = graph.op("Transpose", "input", perm=[0, 3, 1, 2])
    shift = graph.op("Concat", *_centroid(graph, rgb, 256), axis=1)
    shift = graph.op("Pad", shift, [0, 0, 0, 1])  # depth stays
    points = template.mesh_points() * MESH_SIZE + (0.5, 0.5, 0.0)
    moved = _shifted(graph, points, shift, 3)
    pixels = graph.op("Mul", moved, 256.0)
    graph.output(_declared(graph.spec, "Identity"), graph.op("Reshape", pixels, [-1, 1, 1, 1434]))
    sure = graph.op("ReduceMean", rgb, axes=[1, 2, 3], keepdims=1)
    floats = np.dtype(np.float32)
    graph.output(Tensor("Identity_1", floats, (None, 1, 1, 1)), sure)
    graph.output(Tensor("Identity_2", floats, (None, 1, 1, 1)), graph.op("Mul", sure, 0.0))
    graph.save(folder)


def _landmark106(folder: Path) -> None:
    """Given blue, green, red of 0 to 255; answers from -1 to 1."""
    graph = Graph(SPECS["landmark106"])
    rgb = graph.op("Gather", graph.op("Div", "data", 255.0), [2, 1, 0], axis=1)
    shift = graph.op("Concat", *_centroid(graph, rgb, 192), axis=1)
    moved = _shifted(graph, template.points_106() * MESH_SIZE + 0.5, shift, 2)
    wide = graph.op("Sub", graph.op("Mul", moved, 2.0), 1.0)
    graph.output(_declared(graph.spec, "fc1"), graph.op("Reshape", wide, [-1, 212]))
    graph.save(folder)


def _landmark203(folder: Path) -> None:
    graph = Graph(SPECS["landmark203"])
    shift = graph.op("Concat", *_centroid(graph, "input", 224), axis=1)
    points = template.points_203() * LANDMARK_SIZE + (0.5, LANDMARK_V)
    moved = _shifted(graph, points, shift, 2)
    graph.output(_declared(graph.spec, "landmarks"), graph.op("Reshape", moved, [1, 406]))
    graph.save(folder)


class _Blobs:
    """The middle, size and likelihood of the face that can be seen from each of cells x cells."""

    def __init__(self, graph: Graph, rgb: Name, side: int, cells: int) -> None:
        weight = _likeness(graph, rgb)
        ramp = (np.arange(side) + 0.5) / side
        across, down = ramp.reshape(1, 1, 1, -1), ramp.reshape(1, 1, -1, 1)
        moments = [graph.op("Mul", weight, factor) for factor in (across, down)]
        moments.append(graph.op("Mul", weight, across**2 + down**2))
        seen = graph.op("Concat", weight, *moments, axis=1)
        step = side // cells
        reach = round(REACH * cells) // 2 * 2 * step + step  # odd, in cells: centred on one
        pad = (reach - step) // 2
        seen = graph.op(
            "AveragePool",
            seen,
            kernel_shape=[reach, reach],
            strides=[step, step],
            pads=[pad] * 4,
            count_include_pad=1,
        )
        amount, x, y, squares = graph.ops("Split", 4, seen, [1, 1, 1, 1], axis=1)
        safe = graph.op("Add", amount, 1e-6)
        self.x, self.y = graph.op("Div", x, safe), graph.op("Div", y, safe)
        middle = graph.op("Add", *(graph.op("Mul", v, v) for v in (self.x, self.y)))
        spread = graph.op("Relu", graph.op("Sub", graph.op("Div", squares, safe), middle))
        self.size = graph.op("Mul", graph.op("Sqrt", spread), FACE_OF_SKIN)
        sure = graph.op("Mul", graph.op("Sub", amount, SURE), 100.0)
        self.score = graph.op("Clip", sure, -50.0, 50.0)


def _likeness(graph: Graph, rgb: Name) -> Name:
    """How likely each pixel is one of a face, 0 to 1: (N, 1, height, width) of (N, 3, ...)."""
    red, green, blue = graph.ops("Split", 3, rgb, [1, 1, 1], axis=1)
    skin = graph.op(
        "Mul",
        _near(graph, graph.op("Sub", red, green), SKIN_RG),
        _near(graph, graph.op("Sub", green, blue), SKIN_GB),
    )
    blurred = graph.op("AveragePool", green, kernel_shape=[5, 5], pads=[2] * 4, count_include_pad=0)
    detail = graph.op("Abs", graph.op("Sub", green, blurred))
    sides = (graph.op("Abs", graph.op("Sub", other, green)) for other in (red, blue))
    colour = graph.op("ReduceMean", graph.op("Add", *sides), axes=[1, 2, 3], keepdims=1)
    grey = graph.op("Relu", graph.op("Sub", 1.0, graph.op("Mul", colour, 40.0)))
    return graph.op("Add", skin, graph.op("Mul", detail, grey))


def _near(graph: Graph, value: Name, middle_and_reach: tuple[float, float]) -> Name:
    """1 at the middle, falling to 0 at the reach."""
    middle, reach = middle_and_reach
    off = graph.op("Abs", graph.op("Sub", value, middle))
    return graph.op("Relu", graph.op("Sub", 1.0, graph.op("Mul", off, 1 / reach)))


def _centroid(graph: Graph, rgb: Name, side: int) -> tuple[Name, Name]:
    """Where the face's pixels are on average, from the picture's middle, in sides: (N, 1) each."""
    weight = graph.op("Add", _likeness(graph, rgb), 1e-3)
    whole = graph.op("ReduceMean", weight, axes=[2, 3], keepdims=0)
    across = graph.op("ReduceMean", weight, axes=[2], keepdims=0)  # (N, 1, width)
    down = graph.op("ReduceMean", weight, axes=[3], keepdims=0)
    return _mean_place(graph, across, whole, side), _mean_place(graph, down, whole, side)


def _mean_place(graph: Graph, line: Name, whole: Name, side: int) -> Name:
    ramp = (np.arange(side) + 0.5) / side - 0.5
    moment = graph.op("ReduceMean", graph.op("Mul", line, ramp), axes=[2], keepdims=0)
    return graph.op("Div", moment, whole)


def _shifted(graph: Graph, points: NDArray[np.float64], shift: Name, width: int) -> Name:
    """The points, half-way to where the face is: (N, points, width)."""
    half = graph.op("Mul", graph.op("Reshape", shift, [-1, 1, width]), 0.5)
    return graph.op("Add", points[np.newaxis], half)


def _rows(graph: Graph, value: Name, cells: int, each: int) -> Name:
    """(1, width, cells, cells) as (1, cells * cells * each, width): every place repeated."""
    last = graph.op("Transpose", value, perm=[0, 2, 3, 1])
    flat = graph.op("Reshape", last, [1, cells * cells, 1, -1])
    return graph.op("Reshape", graph.op("Tile", flat, [1, 1, each, 1]), [1, cells**2 * each, -1])


def _cell_centres(cells: int, *, corner: bool = False) -> tuple[NDArray[np.float64], ...]:
    ramp = (np.arange(cells) + (0.0 if corner else 0.5)) / cells
    return ramp.reshape(1, 1, 1, -1), ramp.reshape(1, 1, -1, 1)


def _declared(spec: Spec, name: str) -> Tensor:
    return next(t for t in spec.outputs if isinstance(t, Tensor) and t.name == name)
