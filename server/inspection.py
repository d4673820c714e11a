"""A file from a stranger is decoded here: ``python -m server.inspection``, a short-lived process.

Decoders are C code that was never meant for attackers. So they run in a child that has little
memory, little time, no secrets in its environment and nothing to do with the streams: if it
crashes, one upload is refused. What it could decode it writes anew, as PNG or FLAC; the stranger's
own bytes go no further. So nothing is left of what a file was beside its picture or its sound:
trailing archives, scripts in comments, the place where a photo was taken.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from server.errors import UploadRefused

if TYPE_CHECKING:
    from inference.images import Header
    from rawmedia import Frame

# Processor time and time in all for one file. 40 megapixels or ten minutes of sound need a tenth
# of it; a machine that is full of streams may take its time.
CPU_SECONDS, WALL_SECONDS = 30, 90.0
# Interpreter, numpy, OpenCV and their tables; then for each pixel what the decoders need: a
# progressive JPEG keeps all coefficients (6 bytes), a 16-bit picture 8, and 3 each for the result.
_BASE_BYTES, _BYTES_PER_PIXEL = 768 << 20, 20
# Pictures are kept no larger than the largest stream; sound is kept as streams can use it.
LONGEST_SIDE = 4096
RATES_HZ, USUAL_RATE_HZ, MOST_CHANNELS = (8_000, 48_000), 48_000, 2
TYPES = ("image", "audio")
# Resampling and the coders' own delays change a length by less.
MISSING_SECONDS = 0.25
KINDS = "a PNG, JPEG or WebP photo, or a WAV, FLAC, OGG, Opus or MP3 sound"


@dataclass(frozen=True, slots=True)
class Order:
    """What the child is told."""

    source: str
    target: str
    max_pixels: int
    max_seconds: int


def inspect(order: Order) -> dict[str, Any]:
    """Have a child decode a file and write it anew.

    Returns:
        ``type``, and ``width`` and ``height`` or ``seconds``, ``rate_hz`` and ``channels``.

    Raises:
        UploadRefused: it is not taken; the message names the limit.
    """
    try:
        child = subprocess.run(
            [sys.executable, "-m", "server.inspection"],
            input=json.dumps(asdict(order)),
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=WALL_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise UploadRefused(
            503, f"reading the file took more than {WALL_SECONDS:g} s; try again later"
        ) from error
    return _answer(child.returncode, child.stdout)


def _environment() -> dict[str, str]:
    """Nothing of ours: whoever takes over a decoder finds no token."""
    kept = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG")
    found = {name: os.environ[name] for name in kept if name in os.environ}
    # One thread each: what a pool of threads reserves would count as memory.
    return found | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _answer(status: int, text: str) -> dict[str, Any]:
    """What the child said; a decoder that was taken over may say anything."""
    if status == -signal.SIGXCPU:
        raise UploadRefused(
            422, f"reading the file takes more than {CPU_SECONDS} s of processor time; simplify it"
        )
    try:
        answer: dict[str, Any] = json.loads(text) if status == 0 else {}
    except ValueError:
        answer = {}
    if "refused" in answer:
        raise UploadRefused(answer["status"], answer["refused"])
    if answer.get("type") not in TYPES:
        raise UploadRefused(422, "the file makes its decoder fail; export it again")
    return answer


# --- in the child --------------------------------------------------------------------------------


def main() -> int:
    """Read an order from stdin, print what became of it."""
    order = Order(**json.load(sys.stdin))
    confine(order)
    try:
        told: dict[str, Any] = rewrite(order)
    except UploadRefused as error:
        told = {"refused": str(error), "status": error.status}
    except OSError as error:
        told = {"refused": f"the file system of uploads says: {error.strerror}", "status": 507}
    except MemoryError:
        told = {"refused": "reading the file takes too much memory; simplify it", "status": 422}
    sys.stdout.write(json.dumps(told))
    return 0


def confine(order: Order) -> None:
    """Limit what this process may use."""
    size = Path(order.source).stat().st_size  # it is read twice
    memory = _BASE_BYTES + order.max_pixels * _BYTES_PER_PIXEL + 3 * size
    # As much as the longest sound, uncompressed, or the largest picture.
    written = max(LONGEST_SIDE**2 * 4, order.max_seconds * USUAL_RATE_HZ * MOST_CHANNELS * 2)
    for what, limit in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, written + (1 << 20)),
        (resource.RLIMIT_CORE, 0),
    ):
        _soft, hard = resource.getrlimit(what)
        if hard == resource.RLIM_INFINITY or limit < hard:
            # Beyond the soft limit of processor time comes SIGXCPU, which says why; then SIGKILL.
            resource.setrlimit(what, (limit, limit + (what == resource.RLIMIT_CPU)))
    os.umask(0o077)
    os.nice(5)  # the streams go first, but not alone
    signal.alarm(int(WALL_SECONDS))  # also where nobody waits any more


def rewrite(order: Order) -> dict[str, Any]:
    """Decode the file, write it anew, tell what it is; its first bytes say how to begin.

    Raises:
        UploadRefused: it is not taken.
    """
    from inference.errors import FileRejected
    from inference.images import read_header
    from server.wholeness import may_be_sound, name_of

    data = Path(order.source).read_bytes()
    header = read_header(data)
    try:
        if header is not None:
            return _picture(order, header, data)
        if may_be_sound(data):
            return _sound(order, data)
    except FileRejected as error:
        subject = "the file " if error.problem.startswith("is ") else ""
        raise UploadRefused(422, f"{subject}{error.problem}; {error.remedy}") from error
    found = name_of(data) or "no picture and no sound that can be read"
    raise UploadRefused(415, f"it is {found}; give {KINDS}")


def _picture(order: Order, header: Header, data: bytes) -> dict[str, Any]:
    import cv2

    from inference.images import check_image, load_image
    from server.wholeness import picture_is_cut_off, picture_moves

    kind = header.kind
    check_image(Path(order.source), order.max_pixels)
    if picture_moves(kind, data):
        raise UploadRefused(422, f"the {kind} file is an animation; give a single picture")
    if picture_is_cut_off(kind, data):
        raise UploadRefused(422, _cut_off(kind, data))
    frame = _fitted(load_image(Path(order.source), order.max_pixels))
    done, packed = cv2.imencode(".png", frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise UploadRefused(422, "the picture cannot be written anew; export it again")
    Path(order.target).write_bytes(packed.tobytes())
    height, width = frame.shape[:2]
    return {"type": "image", "width": width, "height": height}


def _fitted(frame: Frame) -> Frame:
    import cv2
    import numpy as np

    height, width = frame.shape[:2]
    if max(width, height) <= LONGEST_SIDE:
        return frame
    scale = LONGEST_SIDE / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def _sound(order: Order, data: bytes) -> dict[str, Any]:
    import soundfile

    from inference.speech import open_speech
    from rawmedia import MediaFormat
    from server.wholeness import sound_is_cut_off

    if sound_is_cut_off(data):
        raise UploadRefused(422, _cut_off("sound", data))
    count = 0
    with open_speech(Path(order.source), order.max_seconds) as speech:
        low, high = RATES_HZ
        rate_hz = speech.rate_hz if low <= speech.rate_hz <= high else USUAL_RATE_HZ
        channels = min(speech.channels, MOST_CHANNELS)
        media = MediaFormat(16, 16, 1, rate_hz, channels)
        with soundfile.SoundFile(
            order.target, "w", rate_hz, channels, "PCM_16", format="FLAC"
        ) as file:
            for samples in speech.samples(media):
                file.write(samples)
                count += len(samples)
        told = speech.frames / speech.rate_hz
    seconds = count / rate_hz
    if seconds < told - MISSING_SECONDS:
        raise UploadRefused(
            422, f"the file tells of {told:.1f} s, and {seconds:.1f} s are in it; upload it whole"
        )
    return {
        "type": "audio",
        "seconds": round(seconds, 3),
        "rate_hz": rate_hz,
        "channels": channels,
    }


def _cut_off(kind: str, data: bytes) -> str:
    return f"the {kind} file is cut off after {len(data)} bytes; upload it whole"


if __name__ == "__main__":
    sys.exit(main())
