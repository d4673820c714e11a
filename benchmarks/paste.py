"""How long it takes to lay a drawn face into its picture: python -m benchmarks.paste

The face covers what it does in a portrait that fills the picture's height.
"""

from __future__ import annotations

import statistics
import time

import cv2
import numpy as np

from inference.ditto.paste import FACE_SIDE, paste, place_of, to_face

ROUNDS = 200


def main() -> None:
    cv2.setNumThreads(1)  # as in a worker
    rng = np.random.default_rng(1)
    output = rng.random((1, 3, FACE_SIDE, FACE_SIDE), np.float32)
    print("picture     face    copy and paste, ms: median, 95 %    decoder's picture to BGR, ms")
    for width, height in ((640, 360), (768, 432), (1280, 720), (1920, 1080)):
        side = round(0.8 * height)
        scale = side / FACE_SIDE
        matrix = np.array(
            ((scale, 0, (width - side) / 2), (0, scale, (height - side) / 2), (0, 0, 1)), np.float32
        )
        place = place_of(matrix, (width, height))
        still = rng.integers(0, 256, (height, width, 3), np.uint8)
        frame, face = still.copy(), to_face(output)
        pasted, converted = [], []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            np.copyto(frame, still)
            paste(frame, face, place)
            pasted.append(1000 * (time.perf_counter() - began))
            began = time.perf_counter()
            face = to_face(output)
            converted.append(1000 * (time.perf_counter() - began))
        high = statistics.quantiles(pasted, n=20)[-1]
        print(
            f"{width}x{height:<6} {side:4} px   {statistics.median(pasted):5.2f}  {high:5.2f}"
            f"                         {statistics.median(converted):5.2f}"
        )


if __name__ == "__main__":
    main()
