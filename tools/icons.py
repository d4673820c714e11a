"""The page's icons as PNG, drawn from its SVG by Chromium: ``python -m tools.icons``.

Needs chromium. iOS, and the launchers of Android, take no SVG.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import cv2

from tests.browser.need import require

STATIC = Path(__file__).resolve().parent.parent / "static"
SOURCE, ICONS = STATIC / "favicon.svg", STATIC / "icons"
GROUND = "#c4462b"
# Name -> (side in pixels, share of it that the drawing takes). A maskable icon is cut to any shape
# within its middle 80 % (W3C manifest, purpose); iOS rounds the corners of a whole square itself.
SIZES = {"192": (192, 1.0), "512": (512, 1.0), "maskable": (512, 0.8), "touch": (180, 1.0)}
SQUARE = ("maskable", "touch")
# Chromium makes no window smaller than this; the rest is cut off.
WINDOW = 800


def main() -> int:
    """Draw every size."""
    ICONS.mkdir(exist_ok=True)
    for name, (side, share) in SIZES.items():
        _draw(ICONS / f"{name}.png", side, share, "none" if name not in SQUARE else GROUND)
        print(ICONS / f"{name}.png")
    return 0


def _draw(target: Path, side: int, share: float, ground: str) -> None:
    inset = side * (1 - share) / 2
    page = (
        f"<body style='margin:0;background:transparent'><div style='width:{side}px;height:{side}px;"
        f"background:{ground}'><img src='{SOURCE.as_uri()}' style='display:block;"
        f"width:{side * share}px;padding:{inset}px'></div>"
    )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "page.html").write_text(page, "utf-8")
        shot = Path(folder) / "shot.png"
        flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
        subprocess.run(
            [
                require("chromium"),
                *flags,
                f"--user-data-dir={folder}/profile",
                "--default-background-color=00000000",
                f"--window-size={WINDOW},{WINDOW}",
                f"--screenshot={shot}",
                (Path(folder) / "page.html").as_uri(),
            ],
            check=True,
            capture_output=True,
        )
        picture = cv2.imread(str(shot), cv2.IMREAD_UNCHANGED)
        assert picture is not None, "Chromium drew nothing"
        cv2.imwrite(str(target), picture[:side, :side], [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    sys.exit(main())
