"""Write docs/configuration.md from the fields of `config.Settings`.

python -m tools.configuration           write it
python -m tools.configuration --check   exit 1 if it is not what the fields say
"""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path

from config import Settings
from tools import generated

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"
HEAD = r"""# Configuration

Every setting can be given in four places; later ones win: the default, a TOML file
(`--config FILE`), the environment, a flag. So `video_kbit = 500` in the file,
`LIPSTREAM_VIDEO_KBIT=500` and `--video-kbit 500` are the same. An unknown name is an error that
suggests the right one.

\* marks what `POST /api/streams` may set for one stream.

This page is written by `python -m tools.configuration` from `config.py`.

| setting | default | limits | meaning |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = []
    for item in fields(Settings):
        low, high, choices = (item.metadata[key] for key in ("low", "high", "choices"))
        limits = ", ".join(choices) if choices else "" if low is None else f"{low:,} to {high:,}"
        default = "" if item.default == "" else f"`{item.default}`"
        if isinstance(item.default, bool):
            default = f"`{str(item.default).lower()}`"
        text = item.metadata["help"].replace("<", "&lt;")  # else /live/<id>/ is a tag of HTML
        star = r" \*" if item.metadata["per_stream"] else ""
        rows.append(f"| `{item.name}`{star} | {default} | {limits} | {text} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    sys.exit(generated.written_or_checked(PAGE, page()))
