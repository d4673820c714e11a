"""Firefox without a driver program: it speaks WebDriver BiDi over a WebSocket by itself.

geckodriver is in no Debian package and in no package of Python; what a page of ours needs of the
protocol is three commands (https://www.w3.org/TR/webdriver-bidi/).
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

from tests.browser.processes import kill_session
from tests.browser.watching import until

# With what comes after it: the line is read while it is written.
LISTENING = re.compile(r"WebDriver BiDi listening on (ws://\S+)\s")
START_SECONDS = 20
ANSWER_SECONDS = 60
STOP_SECONDS = 10
PREFERENCES = {
    "app.update.disabledForTesting": True,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "media.autoplay.default": 0,
    "media.gmp-manager.updateEnabled": False,  # decoders come from the system's libavcodec
    "toolkit.telemetry.enabled": False,
}


class FirefoxError(Exception):
    """Firefox did not start, or refused a command."""


class Firefox:
    """One tab."""

    def __init__(self, socket: websocket.WebSocket) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        capabilities = self._ask("session.new", capabilities={})["capabilities"]
        self.version: str = capabilities["browserVersion"]
        self._context: str = self._ask("browsingContext.getTree")["contexts"][0]["context"]

    def get(self, url: str) -> None:
        """Open a page and wait until it is loaded."""
        self._ask("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, or what its promise gives, by way of JSON.

        Raises:
            FirefoxError: the script threw.
        """
        found = self._ask(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await {expression}))()",
            target={"context": self._context},
            awaitPromise=True,
        )
        if found["type"] == "exception":
            raise FirefoxError(found["exceptionDetails"]["text"])
        return json.loads(found["result"]["value"])

    def quit(self) -> None:
        """Close the browser."""
        self._ask("browser.close")

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:  # events may come between
            answer = json.loads(self._socket.recv())
            if answer.get("id") == number:
                break
        if answer["type"] == "error":
            raise FirefoxError(f"{method}: {answer['error']}: {answer['message']}")
        result: dict[str, Any] = answer["result"]
        return result


@contextmanager
def firefox(program: str, home: Path) -> Iterator[Firefox]:
    """Headless Firefox with a fresh profile; nothing of it is left running afterwards."""
    argv = [program, "--headless", "--no-remote", "--profile", str(_make_profile(home))]
    said = home / "stderr"  # a pipe that nobody empties would stop it in the end
    with said.open("w") as stderr:
        child = subprocess.Popen(
            [*argv, "--remote-debugging-port", "0"],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env=os.environ | {"HOME": str(home)},
            start_new_session=True,
        )
    try:
        address = until(
            "Firefox listens", lambda: LISTENING.search(said.read_text()), START_SECONDS
        )
        socket = websocket.create_connection(
            f"{address[1]}/session",
            timeout=ANSWER_SECONDS,
            suppress_origin=True,  # an Origin that it was not told of is refused
        )
        browser = Firefox(socket)
        yield browser
        browser.quit()
        socket.close()
        child.wait(STOP_SECONDS)
    finally:
        kill_session(child.pid)
        child.wait()


def _make_profile(home: Path) -> Path:
    profile = home / "profile"
    profile.mkdir(parents=True)
    rows = (f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in PREFERENCES.items())
    (profile / "user.js").write_text("".join(rows))
    return profile
