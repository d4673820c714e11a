"""What the networks of the talking head cost: milliseconds, memory, sessions at 25 frames a second.

    python -m benchmarks.inference --checkpoint checkpoints
    python -m benchmarks.inference                      the synthetic checkpoint

Runs on whatever `lipstream engines` chooses, or --runtime. Times are those of a whole run: values
go to the device and come back, except the features of the face, which are there already, and what
is between warp and decoder, which stays there. Sessions
are first counted from those times, then run in turns, as one thread of a GPU does, to see how many
frames a second each really gets. Figures of the synthetic checkpoint say what the runtime adds to
each run, and nothing about Ditto.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from inference.checkpoint.folder import Checkpoint, open_checkpoint
from inference.checkpoint.networks import SPECS, Spec
from inference.engines.choice import AUTO, RUNTIMES, choose, open_engine, survey
from inference.engines.protocol import Array, Engine, Held, array
from inference.synthetic import checkpoint as synthetic
from inference.synthetic.graph import PRODUCER

FPS = 25
HUBERT_A_SECOND = 5  # windows of 0.2 s
LIVE = ("hubert", "lmdm", "stitch_network", "warp_network", "decoder")
MIB = 1 << 20


@dataclass(frozen=True)
class Load:
    """How often a session runs the motion network."""

    overlap: int
    steps: int

    @property
    def a_second(self) -> float:
        return FPS / (80 - self.overlap) * self.steps


class Session:
    """The networks of one stream."""

    def __init__(self, checkpoint: Checkpoint, engine: Engine) -> None:
        self.networks = checkpoint.load_all(engine, LIVE)
        self._feeds: dict[str, dict[str, Array | Held]] = {
            name: dict(feeds(SPECS[name])) for name in LIVE
        }
        # a photo's features are brought to the device once
        self._volume = engine.upload(array(self._feeds["warp_network"]["feature_3d"]))
        self._feeds["warp_network"]["feature_3d"] = self._volume

    def run(self, name: str) -> None:
        self.networks[name].run(self._feeds[name])

    def frame(self) -> None:
        """As the pipeline does: what the warp network gives stays on the device."""
        self.run("stitch_network")
        held = self.networks["warp_network"].run(self._feeds["warp_network"], hold=("out",))
        self.networks["decoder"].run({"feature": held["out"]})

    def second(self, load: Load) -> None:
        """All that one second of a stream takes."""
        for _ in range(HUBERT_A_SECOND):
            self.run("hubert")
        for _ in range(round(load.a_second)):
            self.run("lmdm")
        for _ in range(FPS):
            self.frame()

    def close(self) -> None:
        for network in self.networks.values():
            network.release()
        self._volume.release()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="folder; else a synthetic one is made")
    parser.add_argument("--runtime", default=AUTO, choices=(AUTO, *RUNTIMES))
    parser.add_argument("--engine-folder", type=Path)
    parser.add_argument("--gpu", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="of onnx-cpu; 0: all cores")
    parser.add_argument("--runs", type=int, default=30, help="of each network")
    parser.add_argument("--overlap", type=int, default=70)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--most", type=int, default=16, help="sessions to try together")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.checkpoint
        if folder is None:
            folder = Path(temporary)
            synthetic.write(folder)
        report(open_checkpoint(folder), given)


def report(checkpoint: Checkpoint, given: Any) -> None:
    files = tuple(checkpoint.path(name) for name in LIVE)
    runtime = choose(survey(files, given.engine_folder, gpu=given.gpu), given.runtime)
    engine = open_engine(runtime.name, given.engine_folder, gpu=given.gpu, threads=given.threads)
    kind = "the synthetic checkpoint" if is_synthetic(checkpoint) else "a checkpoint"
    print(f"{runtime.name} {runtime.version} on {engine.device}, {kind} in {checkpoint.folder}\n")
    load = Load(given.overlap, given.steps)
    before = memory(engine)
    first = Session(checkpoint, engine)
    costs = stages(first, given.runs)
    after = memory(engine)
    print(f"\nfirst session, weights included: {after - before} MiB")
    second = Session(checkpoint, engine)
    second.second(load)
    both = memory(engine)
    second.close()
    print(f"each further session: {both - after} MiB; after its end {memory(engine) - after} MiB")
    a_second = (
        HUBERT_A_SECOND * costs["hubert"] + load.a_second * costs["lmdm"] + FPS * costs["frame"]
    )
    print(
        f"one second of a session takes {a_second:.0f} ms of the device (overlap {load.overlap}, "
        f"{load.steps} steps): {int(1000 // a_second)} sessions by this count"
    )
    first.close()
    together(checkpoint, engine, load, given.most)
    engine.close()


def stages(session: Session, runs: int) -> dict[str, float]:
    """Medians in milliseconds, printed as a table."""
    print("| stage | median ms | worst twentieth ms |\n|---|---:|---:|")
    costs = {}
    for name in (*LIVE, "frame"):
        work: Callable[[], None] = (
            session.frame if name == "frame" else lambda n=name: session.run(n)  # type: ignore[misc]
        )
        times = sorted(timed(work, runs))
        costs[name] = statistics.median(times)
        shown = "stitch + warp + decoder" if name == "frame" else name
        print(f"| {shown} | {costs[name]:.2f} | {times[int(len(times) * 0.95)]:.2f} |")
    return costs


def timed(work: Callable[[], None], runs: int) -> list[float]:
    for _ in range(3):  # kernels are chosen, graphs are recorded
        work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1000)
    return times


def together(checkpoint: Checkpoint, engine: Engine, load: Load, most: int) -> None:
    """Sessions in turns, a second of each, until one second takes longer than one."""
    sessions: list[Session] = []
    kept = 0
    while len(sessions) < most:
        sessions.append(Session(checkpoint, engine))
        sessions[-1].second(load)
        start = time.perf_counter()
        for session in sessions:
            session.second(load)
        took = time.perf_counter() - start
        print(f"{len(sessions)} together: {FPS / took:.1f} frames a second each")
        if took > 1:
            break
        kept = len(sessions)
    print(f"sessions at {FPS} frames a second: {kept}{' or more' if kept == most else ''}")
    for session in sessions:
        session.close()


def feeds(spec: Spec) -> dict[str, Array]:
    rng = np.random.default_rng(1)
    made: dict[str, Array] = {}
    for tensor in spec.inputs:
        shape = [(6480 if spec.name == "hubert" else 1) if n is None else n for n in tensor.shape]
        whole = tensor.dtype.kind == "i"
        made[tensor.name] = (
            np.array([499]) if whole else rng.uniform(-0.3, 0.3, shape).astype(np.float32)
        )
    return made


def memory(engine: Engine) -> int:
    """MiB of the GPU, else what this process has."""
    return (engine.memory_bytes() or 0) // MIB


def is_synthetic(checkpoint: Checkpoint) -> bool:
    model = onnx.load(checkpoint.path("stitch_network"))
    return bool(model.producer_name == PRODUCER)


if __name__ == "__main__":
    main()
