"""Throw torn bytes at everything that reads bytes from strangers: ``python -m tools.fuzz boxes``.

With `atheris` (``pip install 'lipstream[fuzz]'``) the coverage of our code guides what is tried;
without it, good inputs are torn at random. What was found is written to a file, which
``--replay FILE`` tries again. Exit status: 0 nothing was found, else something was.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

Try = Callable[[bytes], None]
PIXELS, SECONDS = 1_000_000, 20
BOUNDARY = b"x"


class Target(NamedTuple):
    """What reads bytes, and good bytes to begin with."""

    attempt: Try  # returns, or raises what was found
    seeds: Callable[[], list[bytes]]


# --- targets -------------------------------------------------------------------------------------


def boxes(data: bytes) -> None:
    """ISO BMFF, as it comes from ffmpeg: cut into boxes, moov and fragments read."""
    from encoder.boxes import BoxStream, SampleDefaults, read_fragment
    from encoder.codecs import read_init, read_moov
    from encoder.errors import BadBox

    defaults = SampleDefaults(0, 0, 0)
    with suppress(BadBox):
        read_init(data)
    with suppress(BadBox):
        stream, middle = BoxStream(), len(data) // 2
        found = [*stream.feed(data[:middle]), *stream.feed(data[middle:])]
        for box in found:
            if box.kind == "moov":
                with suppress(BadBox):
                    read_moov(box)
        for moof, mdat in pairwise(found):
            if (moof.kind, mdat.kind) == ("moof", "mdat"):
                with suppress(BadBox):
                    read_fragment(moof, mdat, defaults)


def image(data: bytes) -> None:
    """A picture: its header, whether it is whole, and OpenCV's decoders."""
    from inference.errors import ImageRejected
    from inference.images import load_image, read_header
    from server.wholeness import may_be_sound, name_of, picture_is_cut_off, picture_moves

    name_of(data)
    may_be_sound(data)
    for kind in ("PNG", "JPEG", "WebP", "GIF", "BMP"):
        picture_is_cut_off(kind, data)
        picture_moves(kind, data)
    if read_header(data) is not None:
        with suppress(ImageRejected):
            load_image(_file(data), PIXELS)


def sound(data: bytes) -> None:
    """A sound: whether it is whole, its header, and libsndfile's decoders."""
    from inference.errors import AudioRejected
    from inference.speech import open_speech
    from rawmedia import MediaFormat
    from server.wholeness import sound_is_cut_off

    sound_is_cut_off(data)
    with suppress(AudioRejected), open_speech(_file(data), SECONDS) as speech:
        for _samples in speech.samples(MediaFormat(16, 16, 1, 48_000, 1)):
            pass


def form(data: bytes) -> None:
    """A multipart form with a file in it."""
    from werkzeug.exceptions import HTTPException

    from server.errors import UploadRefused
    from server.upload_store import Sink
    from server.uploads import receive

    path = _file(b"")
    path.unlink()
    sink = Sink(path, 4096)
    try:
        with suppress(HTTPException, UploadRefused):
            receive(_request(data), sink)
    finally:
        sink.close()
        path.unlink()


def query(data: bytes) -> None:
    """Delivery directives, as the coalescer and the application read them."""
    from werkzeug.datastructures import MultiDict

    from server.coalescer import directives
    from server.directives import BadDirective, Directives

    kept = directives(data)
    with suppress(BadDirective):
        Directives.parse(MultiDict(word.partition("=")[::2] for word in kept.split("&")))


def greeting(data: bytes) -> None:
    """What a producer says first on the raw-media socket."""
    from rawmedia import FormatError, parse_hello

    with suppress(FormatError):
        parse_hello(data)


def path(data: bytes) -> None:
    """A path with a viewer's token."""
    from server.tokens import Refused, admitted, without_tokens

    text = data.decode("latin-1")
    without_tokens(text)
    with suppress(Refused):
        found = admitted("k" * 16, text, 1000.0)
        assert not found.startswith("/live") or found == text or "/t/" in text


TARGETS = {
    "boxes": Target(boxes, lambda: _box_seeds()),
    "image": Target(image, lambda: _image_seeds()),
    "sound": Target(sound, lambda: _sound_seeds()),
    "form": Target(form, lambda: _form_seeds()),
    "query": Target(query, lambda: [b"_HLS_msn=12&_HLS_part=3&_HLS_skip=YES", b"_HLS_skip=v2"]),
    "greeting": Target(greeting, lambda: [_hello()]),
    "path": Target(path, lambda: [_path().encode()]),
}


@cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    """Removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="lipstream-fuzz-")


def _file(data: bytes) -> Path:
    path = Path(_scratch().name) / "file"
    path.write_bytes(data)
    return path


def _request(data: bytes):  # type: ignore[no-untyped-def] # Flask's, loaded when it is needed
    from flask import Request

    return Request(
        {
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": f"multipart/form-data; boundary={BOUNDARY.decode()}",
            "CONTENT_LENGTH": str(len(data)),
            "wsgi.input": io.BytesIO(data),
        }
    )


# --- good bytes ----------------------------------------------------------------------------------


def _box_seeds() -> list[bytes]:
    from encoder.boxes import write_fragment
    from tests.unit.samples import avc1, init, mp4a, pictures

    fragment = write_fragment(1, list(pictures(4, 2, 3600)), 3600)
    video, audio = init(avc1(), 90_000), init(mp4a(), 48_000)
    return [fragment, video, audio, video + fragment, audio + fragment]


def _image_seeds() -> list[bytes]:
    from tests.security.files import PICTURE_KINDS, picture, pixels

    small = pixels(64, 64)
    return [picture(kind, small) for kind in PICTURE_KINDS]


def _sound_seeds() -> list[bytes]:
    from tests.security.files import SOUND_KINDS, sound

    return [sound(*kind, seconds=0.1, rate_hz=48_000) for kind in SOUND_KINDS]


def _form_seeds() -> list[bytes]:
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    return [head + b"data\r\n--x--\r\n", head + b"1\r\n" + head + b"2\r\n--x--\r\n"]


def _hello() -> bytes:
    from rawmedia import PROTOCOL, MediaFormat, encode_line

    return encode_line({"lipstream": PROTOCOL} | asdict(MediaFormat(64, 64, 25)))


def _path() -> str:
    from server.tokens import token_path

    return token_path("k" * 16, "demo", 2_000_000_000)


# --- fuzzing -------------------------------------------------------------------------------------


def torn(chance: random.Random, seeds: list[bytes]) -> bytes:
    """One of the seeds, changed here and there."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data) + 1)
        change = chance.randrange(6)
        if change == 0:
            data[at : at + 1] = bytes([chance.randrange(256)])
        elif change == 1:
            data[at : at + 4] = chance.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"))
        elif change == 2:
            del data[at : at + chance.randint(1, 64)]
        elif change == 3:
            data[at:at] = chance.randbytes(chance.randint(1, 16))
        elif change == 4:
            other = chance.choice(seeds)
            begin = chance.randrange(len(other) + 1)
            data[at:at] = other[begin : begin + chance.randint(1, 128)]
        else:
            del data[at:]
    return bytes(data)


def at_random(target: Target, seconds: float, seed: int) -> int:
    """Tear good inputs until the time is over; returns how many were tried.

    Raises:
        Exception: what was found; the input is in a file.
    """
    chance, seeds = random.Random(seed), target.seeds()
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        data = torn(chance, seeds)
        try:
            target.attempt(data)
        except BaseException:
            found = Path(f"fuzz-found-{seed}-{count}")
            found.write_bytes(data)
            print(f"found with seed {seed}, input {count}: {found}", file=sys.stderr)
            raise
        count += 1
    return count


def guided(atheris: ModuleType, name: str, seconds: float, seed: int, corpus: Path) -> None:
    """Have atheris try inputs that reach new places in our code; does not return."""
    with atheris.instrument_imports(include=["encoder", "inference", "rawmedia", "server"]):
        for number, good in enumerate(TARGETS[name].seeds()):
            (corpus / f"good-{number}").write_bytes(good)
        TARGETS[name].attempt(b"")  # loads, instrumented, what it needs
    limits = [f"-max_total_time={int(seconds)}", "-max_len=4096", "-print_final_stats=1"]
    limits += [f"-seed={seed & 0xFFFFFFFF}"]
    atheris.Setup([sys.argv[0], *limits, str(corpus)], TARGETS[name].attempt)
    atheris.Fuzz()


def main() -> int:
    """Fuzz one target."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--random", action="store_true", help="without atheris")
    parser.add_argument("--replay", type=Path, help="try the input in this file")
    arguments = parser.parse_args()
    if arguments.replay:
        TARGETS[arguments.target].attempt(arguments.replay.read_bytes())
        return 0
    seconds = arguments.minutes * 60
    if not arguments.random:
        try:
            import atheris
        except ImportError:
            print("atheris is not installed: inputs are torn at random", file=sys.stderr)
        else:
            with tempfile.TemporaryDirectory(prefix="lipstream-corpus-") as corpus:
                guided(atheris, arguments.target, seconds, arguments.seed, Path(corpus))
    count = at_random(TARGETS[arguments.target], seconds, arguments.seed)
    print(f"{arguments.target}: {count} inputs with seed {arguments.seed}, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
