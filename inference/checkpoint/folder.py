"""A checkpoint on disk: which files it must have, and its networks as they are loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from inference.checkpoint import configuration
from inference.checkpoint.configuration import Configuration
from inference.checkpoint.errors import CheckpointIncomplete, NetworksMismatch
from inference.checkpoint.named import NamedNetwork, mismatches
from inference.checkpoint.networks import SPECS, Spec
from inference.engines.protocol import Engine, Network

NETWORKS_FOLDER = "ditto_onnx"
CONFIG_FOLDER = "ditto_cfg"
ONLINE = "v0.4_hubert_cfg_trt_online.pkl"
OFFLINE = "v0.4_hubert_cfg_trt.pkl"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder in which every file was found; none has been opened yet."""

    folder: Path
    research_only: bool  # InsightFace's weights are wanted too

    @property
    def specs(self) -> tuple[Spec, ...]:
        """The networks that are used."""
        return tuple(
            spec for spec in SPECS.values() if self.research_only or not spec.research_only
        )

    def path(self, name: str) -> Path:
        """The file of a network.

        Raises:
            CheckpointIncomplete: it vanished.
        """
        found = _file(self.folder, SPECS[name])
        if found is None:
            raise CheckpointIncomplete(self.folder, (_wanted(SPECS[name]),))
        return found

    def configuration(self, *, online: bool) -> Configuration:
        """The settings that the model was published with, for streams or for whole files.

        Raises:
            ConfigurationRejected: damaged, of another version, or not what it seems.
        """
        return configuration.read(self.folder / CONFIG_FOLDER / (ONLINE if online else OFFLINE))

    def load(self, name: str, engine: Engine) -> Network:
        """A network of one's own, its inputs and outputs called as in :data:`SPECS`.

        Raises:
            NetworkUnusable: corrupt, or not for this engine.
            NetworksMismatch: it takes or gives something else than it should.
        """
        network = engine.load(self.path(name))
        problems = mismatches(SPECS[name], network)
        if problems:
            network.release()
            raise NetworksMismatch(self.folder, problems)
        return NamedNetwork(SPECS[name], network)

    def load_all(
        self,
        engine: Engine,
        names: Iterable[str] | None = None,
        loaded: Callable[[str], None] = lambda _name: None,
    ) -> dict[str, Network]:
        """Networks by name; all that is wrong is told at once, and then none is kept.

        Args:
            engine: what runs them.
            names: None: all that are used.
            loaded: told each name when it is there.

        Raises:
            NetworkUnusable: one is corrupt, or not for this engine.
            NetworksMismatch: some take or give something else than they should.
        """
        networks: dict[str, Network] = {}
        problems: list[str] = []
        with ExitStack() as on_failure:
            for name in names if names is not None else [spec.name for spec in self.specs]:
                try:
                    networks[name] = self.load(name, engine)
                except NetworksMismatch as error:
                    problems += error.problems
                else:
                    on_failure.callback(networks[name].release)
                loaded(name)
            if problems:
                raise NetworksMismatch(self.folder, tuple(problems))
            on_failure.pop_all()
        return networks


def open_checkpoint(folder: Path, *, research_only: bool = False) -> Checkpoint:
    """Look whether every file is there.

    Args:
        folder: what holds ``ditto_onnx`` and ``ditto_cfg``.
        research_only: also InsightFace's networks, whose licence allows research only.

    Raises:
        CheckpointIncomplete: files are missing; all are named.
    """
    found = Checkpoint(folder, research_only)
    missing = [_wanted(spec) for spec in found.specs if _file(folder, spec) is None]
    for name in (ONLINE, OFFLINE):
        if not (folder / CONFIG_FOLDER / name).is_file():
            missing.append(f"{CONFIG_FOLDER}/{name}")
    if missing:
        raise CheckpointIncomplete(folder, tuple(missing), _instead(folder))
    return found


def _file(folder: Path, spec: Spec) -> Path | None:
    candidates = (folder / NETWORKS_FOLDER / f"{stem}.onnx" for stem in spec.stems)
    return next((path for path in candidates if path.is_file()), None)


def _wanted(spec: Spec) -> str:
    return f"{NETWORKS_FOLDER}/{spec.stems[0]}.onnx"


def _instead(folder: Path) -> str:
    """What is there in place of it: another version, or only engines of TensorRT 8."""
    known = {stem for spec in SPECS.values() for stem in spec.stems}
    other = sorted(p.name for p in (folder / NETWORKS_FOLDER).glob("*.onnx") if p.stem not in known)
    if other:
        return f" (found instead: {', '.join(other[:5])})"
    if any((folder / "ditto_trt_Ampere_Plus").glob("*.engine")):
        return " (engines of TensorRT 8 are there, but none newer can load those)"
    return "" if folder.is_dir() else " (there is no such folder)"
