"""A network camera in a process of its own: ``python -m tests.ffmpeg.camera_server PORT``.

As many cameras do it gives JPEG after JPEG in one answer, each with the time it was taken.
"""

from __future__ import annotations

import socketserver
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler

import cv2
import numpy as np

from inference.testcard import TestCard
from rawmedia import MediaFormat

FPS = 25
MEDIA = MediaFormat(320, 180, FPS)


class MotionJpeg(BaseHTTPRequestHandler):
    """Pictures for as long as somebody looks."""

    def do_GET(self) -> None:
        """Answer for ever."""
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        card = TestCard(MEDIA)
        frame = np.empty((MEDIA.height, MEDIA.width, 3), np.uint8)
        samples = np.empty((MEDIA.samples_per_unit, 1), np.int16)
        try:
            while True:
                card.render(frame, samples)
                _good, jpeg = cv2.imencode(".jpg", frame)
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg.tobytes() + b"\r\n")
                time.sleep(1 / FPS)
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class NetworkCamera:
    """The process; leaving the block kills it, as a lost cable would."""

    def __init__(self, port: int = 0) -> None:
        argv = [sys.executable, "-m", "tests.ffmpeg.camera_server", str(port)]
        self._child = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert self._child.stdout is not None
        self.port = int(self._child.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}/live.mjpg"

    def __enter__(self) -> NetworkCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self.die()

    def die(self) -> None:
        """At once, its connections too."""
        self._child.kill()
        self._child.wait()
        assert self._child.stdout is not None
        self._child.stdout.close()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


if __name__ == "__main__":
    with _Server(("127.0.0.1", int(sys.argv[1])), MotionJpeg) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
