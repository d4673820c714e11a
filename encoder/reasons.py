"""Which line of ffmpeg's stderr says why: pure text.

ffmpeg tells the cause first and then, on the way out, what follows from it: "Error while opening
encoder", "Conversion failed!". The last line is hardly ever the one to show.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# What we ask for in a trial: each line carries its level, and the device's own words are in.
LOG_LEVEL = "level+verbose"
MAX_REASON_CHARS = 200

_CONTEXT = re.compile(r"^(?:\[[^\]]+\]\s*)+")
_LEVEL = re.compile(r"\[(panic|fatal|error|warning|info|verbose|debug|trace)\]")
_SEVERE = frozenset({"panic", "fatal", "error", ""})  # "": written by a wrapper, not by ffmpeg

# True of every failure, so they explain none.
_GENERIC = re.compile(
    r"Error while opening encoder|maybe incorrect parameters|Error initializing output stream"
    r"|Error sending frames to consumers|Task finished with error|Terminating thread"
    r"|Could not open encoder before EOF|Nothing was written into|Error selecting an encoder"
    r"|Error opening output file|Error parsing global options|Error splitting the argument list"
    r"|Failed to set value|Device creation failed|Conversion failed|Exiting with exit code"
    r"|Error (?:muxing|submitting|writing|reinitializing|initializing the muxer)"
    r"|Broken pipe|Immediate exit requested|Output file is empty|Output file #\d+ does not"
)
# Where no error line is specific (VA-API), the device's verbose lines are.
_HINT = re.compile(
    r"no render device|no available|cannot (?:open|load)|failed to"
    r"|unable to|not found|unsupported|no va display",
    re.IGNORECASE,
)
# Bare numbers of Intel's library, which every reader would have to look up.
_EXPLANATIONS = (
    (re.compile(r"MFX session: -9\b"), "no Intel GPU runtime (libmfx-gen, libmfxhw64) found"),
    (re.compile(r"MFX session: unsupported \(-3\)"), "no Intel GPU or no runtime for it"),
)


def telling_line(stderr: str) -> str:
    """The line that tells the cause; empty if there is none at all."""
    lines = list(_parse(stderr))
    severe = [text for level, text in lines if level in _SEVERE]
    specific = [text for text in severe if not _GENERIC.search(text)]
    hints = [text for level, text in lines if level not in _SEVERE and _HINT.search(text)]
    best = next(iter(specific or hints or severe), "")
    return _explained(best)[:MAX_REASON_CHARS]


def _parse(stderr: str) -> Iterator[tuple[str, str]]:
    for line in stderr.replace("\r", "\n").splitlines():
        context = _CONTEXT.match(line)
        level = _LEVEL.search(context[0]) if context else None
        text = " ".join(line[context.end() if context else 0 :].split())
        if text:
            yield level[1] if level else "", text


def _explained(text: str) -> str:
    for pattern, explanation in _EXPLANATIONS:
        if pattern.search(text):
            return f"{text.rstrip('.')} ({explanation})"
    return text.removesuffix(", try next device for DRM render node.")
