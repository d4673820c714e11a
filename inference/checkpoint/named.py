"""A file's network under the names of ours."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np

from inference.checkpoint.networks import Spec
from inference.engines.protocol import Array, Held, Network, Shape, Tensor, fits


class NamedNetwork:
    """A network whose outputs have the names and shapes of its :class:`Spec`."""

    def __init__(self, spec: Spec, network: Network) -> None:
        self.name = spec.name
        self.inputs = network.inputs
        self._network = network
        pairs = _pairs(spec, network.outputs)
        self.outputs = tuple(
            given if isinstance(wanted, str) else wanted for wanted, given in pairs
        )
        self._names = {_name(wanted): given.name for wanted, given in pairs}
        self._shapes = {_name(wanted): _fixed(wanted) for wanted, _given in pairs}

    def run(
        self, feeds: Mapping[str, Array | Held], hold: Collection[str] = ()
    ) -> dict[str, Array | Held]:
        """See :class:`inference.engines.protocol.Network`."""
        results = self._network.run(feeds, [self._names[name] for name in hold])
        return {ours: self._shaped(ours, results[theirs]) for ours, theirs in self._names.items()}

    def _shaped(self, name: str, value: Array | Held) -> Array | Held:
        """Some files say (1, 21, 3) where others say (1, 63)."""
        shape = self._shapes[name]
        if shape is None or not isinstance(value, np.ndarray) or value.shape == shape:
            return value
        return value.reshape(shape)

    def release(self) -> None:
        """See :class:`inference.engines.protocol.Network`."""
        self._network.release()


def mismatches(spec: Spec, network: Network) -> tuple[str, ...]:
    """What it takes or gives otherwise than it should, in words."""
    problems = []
    given = {tensor.name: tensor for tensor in network.inputs}
    for wanted in spec.inputs:
        found = given.pop(wanted.name, None)
        if found is None or not _same_input(wanted, found):
            problems.append(f"{spec.name} takes {found or 'no ' + wanted.name}, not {wanted}")
    problems += [f"{spec.name} takes {extra} besides" for extra in given.values()]
    if len(network.outputs) < len(spec.outputs):
        return (*problems, f"{spec.name} gives {len(network.outputs)}, not {len(spec.outputs)}")
    for wanted_output, output in _pairs(spec, network.outputs):
        if isinstance(wanted_output, Tensor) and not _same_output(wanted_output, output):
            problems.append(f"{spec.name} gives {output}, not {wanted_output}")
    return tuple(problems)


def _pairs(spec: Spec, outputs: tuple[Tensor, ...]) -> list[tuple[Tensor | str, Tensor]]:
    """Each wanted output with the file's: by name if all are there, else in their order."""
    named = {tensor.name: tensor for tensor in outputs}
    if all(_name(wanted) in named for wanted in spec.outputs):
        return [(wanted, named[_name(wanted)]) for wanted in spec.outputs]
    return list(zip(spec.outputs, outputs, strict=False))


def _name(wanted: Tensor | str) -> str:
    return wanted if isinstance(wanted, str) else wanted.name


def _same_input(wanted: Tensor, found: Tensor) -> bool:
    # whole numbers of either length: they are cast when they are fed
    return wanted.dtype.kind == found.dtype.kind and fits(wanted.shape, found.shape)


def _same_output(wanted: Tensor, found: Tensor) -> bool:
    if wanted.dtype != found.dtype:
        return False
    if not found.shape or fits(wanted.shape, found.shape):  # no shape: the file does not say
        return True
    lengths, given = _known(wanted.shape), _known(found.shape)
    return lengths is not None and given is not None and math.prod(lengths) == math.prod(given)


def _fixed(wanted: Tensor | str) -> tuple[int, ...] | None:
    return None if isinstance(wanted, str) else _known(wanted.shape)


def _known(shape: Shape) -> tuple[int, ...] | None:
    known = tuple(n for n in shape if n is not None)
    return known if len(known) == len(shape) else None
