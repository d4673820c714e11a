"""Write a contact sheet of the presenter: its shapes, then frames of real speech.

python -m tools.contact_sheet sheet.png [--image portrait.jpg] [--audio speech.wav]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from config import Settings
from inference.motion import Pose
from inference.mouth import MouthShape
from inference.presenter import Presenter, mouth_opening
from inference.source import make_source
from rawmedia import Frame, MediaFormat

Cell = tuple[str, MouthShape, Pose]

SHAPES: tuple[Cell, ...] = (
    ("rest", MouthShape(), Pose()),
    ("half", MouthShape(0.4), Pose()),
    ("open", MouthShape(1.0), Pose(brows=0.7)),
    ("wide", MouthShape(0.45, wide=1.0), Pose()),
    ("round", MouthShape(0.55, round=1.0), Pose()),
    ("small round", MouthShape(0.2, round=1.0), Pose()),
    ("hiss", MouthShape(0.12, wide=0.8), Pose()),
    ("half blink", MouthShape(), Pose(lids=0.5)),
    ("blink", MouthShape(0.3), Pose(lids=1.0)),
    ("gaze left", MouthShape(), Pose(gaze_x=-1.0, turn=-1.0)),
    ("gaze up right", MouthShape(0.3), Pose(gaze_x=1.0, gaze_y=-1.0, turn=1.0)),
    ("head moved", MouthShape(0.5), Pose(x=1.0, y=1.0, tilt=1.0, breath=1.0)),
)
COLUMNS = 6
CELL = (320, 300)


def main() -> None:
    """Render and write the sheet, and the whole resting frame beside it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("output", type=Path, help="a .png file")
    parser.add_argument("--image", default="", help="portrait photo; else the built-in character")
    parser.add_argument("--audio", default="", help="speech; else the built-in sample")
    parser.add_argument("--size", default="1280x720", help="WIDTHxHEIGHT of the frames")
    parser.add_argument("--start", type=float, default=0.4, help="second at which speech begins")
    parser.add_argument("--step", type=int, default=2, help="every how many frames")
    given = parser.parse_args()
    width, height = (int(number) for number in given.size.split("x"))
    media = MediaFormat(width, height, 25)
    settings = Settings(image=given.image, audio=given.audio, width=width, height=height)
    source = make_source(settings, media)
    assert isinstance(source, Presenter)
    cells = [_shape(source, media, cell) for cell in SHAPES]
    cells += _speech(source, media, given.start, given.step)
    rows = [np.hstack(cells[i : i + COLUMNS]) for i in range(0, len(cells), COLUMNS)]
    cv2.imwrite(str(given.output), np.vstack(rows))
    print(given.output)


def _shape(source: Presenter, media: MediaFormat, cell: Cell) -> Frame:
    name, mouth, pose = cell
    frame = np.empty((media.height, media.width, 3), np.uint8)
    source.face.draw(frame, mouth, pose)
    return _cut(source, frame, name)


def _speech(source: Presenter, media: MediaFormat, start: float, step: int) -> list[Frame]:
    frame = np.empty((media.height, media.width, 3), np.uint8)
    samples = np.empty((media.samples_per_unit, media.audio_channels), np.int16)
    first, cells = round(start * media.fps), []
    for index in range(first + 3 * COLUMNS * step):
        source.render(frame, samples)
        if index >= first and (index - first) % step == 0:
            opening = mouth_opening(frame, source.face.mouth_region)
            cells.append(_cut(source, frame, f"{index / media.fps:.2f} s, {opening} px"))
    return cells


def _cut(source: Presenter, frame: Frame, text: str) -> Frame:
    """The head, found from the mouth."""
    x, y, width, height = source.face.mouth_region
    reach = 1.75 * width
    centre_x, centre_y = x + width / 2, y - 0.35 * height
    scale = CELL[0] / (2 * reach)
    offset = (CELL[0] / 2 - centre_x * scale, CELL[1] / 2 - centre_y * scale)
    matrix = np.array(((scale, 0.0, offset[0]), (0.0, scale, offset[1])))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    cell = cv2.warpAffine(frame, matrix, CELL, flags=way)
    place, font = (8, CELL[1] - 10), cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(cell, text, place, font, 0.5, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(cell, text, place, font, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return np.asarray(cell, np.uint8)


if __name__ == "__main__":
    main()
