"""Settings: every knob of lipstream, typed, checked once, read from four places.

Later places win: defaults < TOML file < environment (``LIPSTREAM_<NAME>``) < command-line flags.
This module imports nothing of ours; everything else is handed a :class:`Settings`.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import Field, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

ENVIRONMENT_PREFIX = "LIPSTREAM_"

# The value of `source` for a face that can be spoken through.
AVATAR = "avatar"
# The value of `captions` for none.
NO_CAPTIONS = "none"
# The value of `source` for which no worker of ours is started.
INGEST = "ingest"
# The value of `source` for a picture and sound to measure with.
TESTCARD = "testcard"
# The value of `audio` for a face that says only what is posted to it.
SILENT = "none"
# What may drive an avatar's face.
ENGINES = ("auto", "presenter", "ditto")
# The value of `ditto_process` for one process in which all talking heads are.
SHARED = "shared"
# Of the picture's size, diffusion steps, and frames before, of and behind a chunk of sound.
PRESETS: dict[str, tuple[float, int, str]] = {
    "quality": (0.6, 15, "3,5,2"),
    "balanced": (0.5, 12, "3,5,2"),
    "latency": (0.3, 10, "2,3,2"),
}
# Seconds of video in one part, by latency profile; None: plain HLS, no parts.
PART_SECONDS: dict[str, float | None] = {"ultra": 0.12, "low": 0.2, "normal": None}


class ConfigError(Exception):
    """A setting that cannot be used: what it is, where it came from, what would be right."""


def _setting(
    default: Any,
    text: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    secret: bool = False,
    per_stream: bool = False,
) -> Any:
    """One setting; ``per_stream``: `POST /api/streams` may give another value for one stream."""
    metadata = {"help": text, "low": low, "high": high, "choices": choices, "secret": secret}
    # Not in repr(): a traceback or a log line may hold the settings.
    return field(default=default, metadata=metadata | {"per_stream": per_stream}, repr=not secret)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, in the order in which the documentation lists them."""

    host: str = _setting("127.0.0.1", "address to listen on; beyond loopback a token is needed")
    port: int = _setting(8000, "TCP port; 0 takes a free one", low=0, high=65535)
    web_processes: int = _setting(
        2, "gunicorn worker processes; 0: none, `lipstream web` serves apart", low=0, high=64
    )
    web_threads: int = _setting(
        64,
        "asgi: answers that one web process makes at once; gthread: requests it can hold open",
        low=4,
        high=1024,
    )
    web_worker: str = _setting(
        "asgi",
        "asgi: equal requests share one answer and cost one thread; gthread: one thread each",
        choices=("asgi", "gthread"),
    )
    api_token: str = _setting(
        "", "Bearer token of the control API, 16 characters or more", secret=True
    )
    insecure: bool = _setting(False, "listen beyond loopback without a token")
    viewer_key: str = _setting(
        "",
        "key that signs viewers' links (`lipstream token`), 16 characters or more; "
        "empty: whoever can connect can watch",
        secret=True,
    )
    trusted_proxies: str = _setting(
        "",
        "addresses or networks of proxies whose X-Forwarded-For is believed, commas between",
    )
    api_requests_per_minute: int = _setting(
        1200, "control API: requests of one address; a quarter of it at once", low=4, high=1_000_000
    )
    wrong_tokens_per_minute: int = _setting(
        10, "control API: wrong tokens of one address, then none is looked at", low=1, high=10_000
    )
    uploads_per_minute: int = _setting(
        30, "control API: uploads of one address", low=1, high=10_000
    )
    max_upload_bytes: int = _setting(
        20_000_000, "largest file that can be uploaded", low=1_000, high=1_000_000_000
    )
    max_uploads: int = _setting(64, "uploads that are kept at once", low=1, high=10_000)
    max_uploads_bytes: int = _setting(
        256_000_000,
        "room for all uploads together, as they are kept",
        low=1_000_000,
        high=100_000_000_000,
    )
    upload_seconds: int = _setting(
        3600, "an upload that no stream was started with for so long goes", low=10, high=604_800
    )
    tls_cert: str = _setting(
        "", "PEM file with the certificate and its chain: HTTPS with HTTP/2; empty: plain HTTP"
    )
    tls_key: str = _setting("", "PEM file with the private key of tls_cert, without a passphrase")
    media_root: str = _setting(
        "", "folder for the live media; empty: tmpfs/ if mounted there, else /dev/shm"
    )
    log_format: str = _setting(
        "auto", "auto: readable on a terminal, JSON elsewhere", choices=("auto", "text", "json")
    )

    max_streams: int = _setting(16, "as many streams at once", low=1, high=1000)
    reserve: bool = _setting(
        True,
        "keep an encoder process and a worker loaded that wait for the next stream, or for the end "
        "of one that runs: a start imports nothing while somebody waits, for some memory",
    )
    stream: str = _setting(
        "demo", "id of the stream that `serve` starts with; empty: none until the API is asked"
    )
    source: str = _setting(
        AVATAR,
        "avatar (a face that speaks --audio), camera:DEVICE with an index, path or URL, file:PATH "
        "(a video or sound file, repeated), testcard, or ingest (a program of yours connects to "
        "the raw-media socket): docs/sources.md",
    )
    microphone: str = _setting(
        "", "sound for a camera: alsa:DEVICE or pulse:DEVICE, such as alsa:default; empty: silence"
    )
    film_folder: str = _setting(
        "", "folder whose video files `POST /api/streams` may name; empty: none"
    )
    image: str = _setting("", "portrait photo for the avatar; empty: the built-in presenter")
    audio: str = _setting(
        "",
        "what the avatar says, repeated for ever; empty: the built-in sample, until something is "
        "posted to be said; none: only what is posted",
    )
    engine: str = _setting(
        "auto",
        "what drives the avatar's face: ditto (needs a checkpoint, and a GPU to be live), "
        "presenter (needs neither), or auto: ditto where it can be live, else presenter",
        choices=ENGINES,
        per_stream=True,
    )
    preset: str = _setting(
        "",
        "frame_scale, sampling_timesteps and chunk_config at once; each given alone counts more",
        choices=("", *PRESETS),
        per_stream=True,
    )
    frame_scale: float = _setting(
        0.0,
        "the picture's size as a share of width and height; 0: of the preset, else 1",
        low=0.0,
        high=1.0,
        per_stream=True,
    )
    sampling_timesteps: int = _setting(
        0,
        "ditto: diffusion steps of a window of motion; 0: of the preset, else of the checkpoint",
        low=0,
        high=200,
        per_stream=True,
    )
    chunk_config: str = _setting(
        "",
        "ditto: frames of sound before, of and behind a chunk; empty: of the preset, else 3,5,2",
        per_stream=True,
    )
    overlap: int = _setting(
        0,
        "ditto: frames by which windows of 80 overlap, 40 to 79 where live; 0: of the checkpoint",
        low=0,
        high=79,
        per_stream=True,
    )
    emotion: str = _setting(
        "",
        "ditto: angry, disgust, fear, happy, neutral, sad, surprise or contempt, several with "
        "commas between; empty: of the checkpoint",
        per_stream=True,
    )
    overall_control: str = _setting(
        "",
        "ditto: what is asked of every frame over what the checkpoint asks, such as delta_pitch=0, "
        "alpha_exp=0.8 (docs/ditto.md)",
        per_stream=True,
    )
    seed: int = _setting(
        1,
        "ditto: of all chance; the same seed and sound give the same pictures",
        low=0,
        high=2**31 - 1,
        per_stream=True,
    )
    pause_seconds: float = _setting(
        2.0, "silence between two rounds of the audio", low=0.0, high=3600.0, per_stream=True
    )
    max_image_pixels: int = _setting(
        40_000_000, "largest photo accepted, in pixels", low=10_000, high=200_000_000
    )
    max_audio_seconds: int = _setting(600, "longest audio file accepted", low=1, high=36_000)
    speech_queue_seconds: int = _setting(
        600, "speech of a stream that may wait to be said", low=1, high=36_000, per_stream=True
    )
    live_jitter_ms: int = _setting(
        120,
        "milliseconds that are gathered of somebody who speaks live before he is heard: sound that "
        "comes late by no more than that leaves no gap",
        low=0,
        high=1000,
        per_stream=True,
    )
    voice: str = _setting("en-us", "voice of espeak-ng for texts, such as en-us, de or fr+f2")
    piper_voice: str = _setting(
        "",
        "voice file (.onnx) of Piper, which then speaks texts that name no voice; needs the extra "
        "piper; empty: espeak-ng speaks",
    )
    captions: str = _setting(
        "en",
        "language of the captions of what a face says from texts, such as en or de; none: no "
        "captions (docs/speech.md)",
        per_stream=True,
    )
    max_speech_bytes: int = _setting(
        32_000_000, "largest body that is taken as speech", low=10_000, high=1_000_000_000
    )

    checkpoint: str = _setting(
        "", "folder of a Ditto checkpoint (docs/engines.md): the talking head; empty: none"
    )
    runtime: str = _setting(
        "auto",
        "what runs the networks of the checkpoint; auto: the first that works of the others",
        choices=("auto", "tensorrt", "onnx-cuda", "onnx-cpu"),
    )
    gpu: int = _setting(0, "which GPU runs the networks", low=0, high=63)
    engine_folder: str = _setting(
        "", "folder of the engines that `lipstream build-engines` made; empty: the user's cache"
    )
    ditto_process: str = _setting(
        SHARED,
        "ditto: shared: one process loads the networks once, for all talking heads of the service; "
        "each: one for every stream, which fails alone and loads them for itself",
        choices=(SHARED, "each"),
    )
    face_detector: str = _setting(
        "mediapipe",
        "what finds faces for the talking head; the weights of insightface may be used for "
        "research only",
        choices=("mediapipe", "insightface"),
    )

    width: int = _setting(1280, "picture width in pixels, even", low=16, high=4096, per_stream=True)
    height: int = _setting(
        720, "picture height in pixels, even", low=16, high=4096, per_stream=True
    )
    fps: int = _setting(
        25, "frames a second; must divide audio_rate_hz", low=1, high=60, per_stream=True
    )
    audio_rate_hz: int = _setting(
        48_000, "sample rate of the viewers' track", low=8_000, high=48_000, per_stream=True
    )
    audio_channels: int = _setting(1, "1 mono, 2 stereo", low=1, high=2, per_stream=True)

    ffmpeg: str = _setting(
        "", "ffmpeg binary, path or name; empty: the one in the imageio-ffmpeg wheel"
    )
    video_codec: str = _setting(
        "h264",
        "h264 plays everywhere; hevc and av1 look better at the same rate (docs/formats.md)",
        choices=("h264", "hevc", "av1"),
        per_stream=True,
    )
    encoder: str = _setting(
        "auto",
        "auto: the first of video_codec that works; a name, such as libx264: that one or an error",
        per_stream=True,
    )
    video_kbit: int = _setting(
        700, "video bit rate in kbit/s", low=50, high=50_000, per_stream=True
    )
    ladder: str = _setting(
        "auto",
        "bit rates, of which each viewer's network takes one: auto (video_kbit, and less for "
        "phones), single (video_kbit), or WIDTHxHEIGHT:KBIT for each, commas between",
        per_stream=True,
    )
    audio_codec: str = _setting(
        "aac",
        "aac plays everywhere; opus sounds better at the same rate (docs/formats.md)",
        choices=("aac", "opus"),
        per_stream=True,
    )
    audio_kbit: int = _setting(64, "audio bit rate in kbit/s", low=16, high=320, per_stream=True)

    mpegts: bool = _setting(
        False,
        "also plain HLS of MPEG-TS, for old players: /live/<id>/ts.m3u8 (h264 and aac)",
        per_stream=True,
    )
    latency: str = _setting(
        "low",
        "length of a part: ultra 0.12 s, low 0.2 s, normal none",
        choices=tuple(PART_SECONDS),
        per_stream=True,
    )
    segment_seconds: float = _setting(
        2.0, "length of a segment", low=1.0, high=10.0, per_stream=True
    )
    window_segments: int = _setting(
        7,
        "complete segments in the playlist (Apple asks for 6 or more)",
        low=6,
        high=900,
        per_stream=True,
    )
    ended_seconds: float = _setting(
        60.0,
        "how long an ended stream can still be watched",
        low=0.0,
        high=86_400.0,
        per_stream=True,
    )
    dvr_seconds: float = _setting(
        0.0,
        "how far back viewers can go; 0: the window of window_segments",
        low=0.0,
        high=43_200.0,
        per_stream=True,
    )
    disk_folder: str = _setting(
        "", "folder for the older segments of a long dvr_seconds; empty: they stay in memory"
    )
    record: str = _setting(
        "",
        "mp4: one file with the best picture; hls: a folder with all renditions; empty: nothing",
        choices=("", "mp4", "hls"),
        per_stream=True,
    )
    record_folder: str = _setting("", "folder for recordings; needed where record is given")
    slate_after_seconds: float = _setting(
        1.5,
        "a stream whose source is silent that long starts with a slate",
        low=0.1,
        high=60.0,
        per_stream=True,
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            check(item, getattr(self, item.name))

    @property
    def part_seconds(self) -> float | None:
        """Wished length of a video part; None where the profile has no parts."""
        return PART_SECONDS[self.latency]

    @property
    def media_fields(self) -> dict[str, int]:
        """The fields of the raw media that sources and encoder agree on."""
        names = ("fps", "audio_rate_hz", "audio_channels")
        size = even_size(self.width, self.height, self.frame_scale or self._of_preset[0])
        return dict(zip(("width", "height"), size, strict=True)) | {
            name: getattr(self, name) for name in names
        }

    @property
    def steps(self) -> int:
        """Diffusion steps; 0: the checkpoint's."""
        return self.sampling_timesteps or self._of_preset[1]

    @property
    def chunks(self) -> str:
        """Frames of sound before, of and behind a chunk."""
        return self.chunk_config or self._of_preset[2]

    @property
    def _of_preset(self) -> tuple[float, int, str]:
        return PRESETS.get(self.preset, (1.0, 0, "3,5,2"))

    def without_secrets(self) -> Settings:
        """For processes that need none: who reads their memory or environment finds none."""
        empty: dict[str, Any] = {f.name: f.default for f in fields(self) if f.metadata["secret"]}
        return replace(self, **empty)

    def to_environment(self) -> dict[str, str]:
        """The settings as environment variables: how child processes get the same ones."""
        return {ENVIRONMENT_PREFIX + k.upper(): _to_text(v) for k, v in asdict(self).items()}


def even_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """Both scaled, the aspect kept as nearly as even numbers can."""
    if scale == 1:
        return width, height
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))


def load(
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """Read all places once.

    Args:
        file: a TOML file, or None.
        environ: None means the process environment.
        flags: values that were given on the command line; None values count as not given.

    Raises:
        ConfigError: unreadable file, unknown key, wrong type, value outside its limits.
    """
    return Settings(**{name: given.value for name, given in gather(file, environ, flags).items()})


@dataclass(frozen=True, slots=True)
class Given:
    """A value of a setting, and who gave it."""

    value: Any
    place: str  # default, file, environment or flag
    where: str  # the file, the variable, the flag


def gather(
    file: Path | None, environ: Mapping[str, str] | None, flags: Mapping[str, Any] | None
) -> dict[str, Given]:
    """Every setting with the place it has its value from; arguments and errors as :func:`load`.

    What several settings together must keep is not checked.
    """
    found = {item.name: Given(item.default, "default", "") for item in fields(Settings)}
    for key, value in (_from_toml(file) if file else {}).items():
        found[key] = Given(value, "file", str(file))
    for key, value in _from_environment(os.environ if environ is None else environ).items():
        found[key] = Given(value, "environment", ENVIRONMENT_PREFIX + key.upper())
    for key, value in (flags or {}).items():
        if value is not None:
            found[key] = Given(value, "flag", "--" + key.replace("_", "-"))
    return found


def _from_toml(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    return {key: typed(_field(key, str(path)), value, str(path)) for key, value in table.items()}


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for name, text in environ.items():
        if name.startswith(ENVIRONMENT_PREFIX):
            item = _field(name.removeprefix(ENVIRONMENT_PREFIX).lower(), name)
            found[item.name] = parse_text(item, text, name)
    return found


def _field(key: str, where: str) -> Field[Any]:
    known = {item.name: item for item in fields(Settings)}
    if key in known:
        return known[key]
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "`lipstream serve --help` lists all"
    raise ConfigError(f"{where}: there is no setting {key!r}; {hint}")


def parse_text(item: Field[Any], text: str, where: str) -> Any:
    """Turn the text of a flag or an environment variable into the field's type.

    Raises:
        ConfigError: the text is not of that type.
    """
    kind: type = type(item.default)
    if kind is bool:
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off", ""):
            return False
        raise ConfigError(f"{where} is {text!r}: say yes or no")
    try:
        return _CONVERTERS[kind](text)
    except ValueError as error:
        raise ConfigError(f"{where} is {text!r}: it must be {_KIND_NAMES[kind]}") from error


_CONVERTERS: dict[type, Callable[[str], Any]] = {int: int, float: float, str: str}
_KIND_NAMES: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
}


def typed(item: Field[Any], value: Any, where: str) -> Any:
    """A value from TOML or JSON, in the field's type.

    Raises:
        ConfigError: it has another type.
    """
    kind: type = type(item.default)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        shown = "not shown" if item.metadata["secret"] else repr(value)
        raise ConfigError(f"{where}: {item.name} is {shown}: it must be {_KIND_NAMES[kind]}")
    return value


def check(item: Field[Any], value: Any) -> None:
    """Hold a value against its limits.

    Raises:
        ConfigError: it is outside.
    """
    low, high, choices = (item.metadata[k] for k in ("low", "high", "choices"))
    if choices and value not in choices:
        raise ConfigError(f"{item.name} is {value!r}: choose one of {', '.join(choices)}")
    if low is not None and not low <= value <= high:
        raise ConfigError(f"{item.name} is {value}: it must be from {low:g} to {high:g}")


def _to_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
