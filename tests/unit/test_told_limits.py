"""What a page is told before it asks for control, and the files that make an app of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import pytest
from flask.testing import FlaskClient

from config import Settings
from server.app import STATIC, create_app
from server.speech_voice import LONGEST_TEXT

TOKEN = "t" * 32


def client(root: Path, **changes: Any) -> FlaskClient:
    for name in ("live", "run"):
        (root / name).mkdir(exist_ok=True)
    return create_app(Settings(**changes), root).test_client()


@pytest.mark.parametrize(
    ("changes", "host", "control"),
    [
        ({}, "localhost", "open"),
        ({}, "127.0.0.1:8000", "open"),
        ({}, "evil.example", "closed"),
        ({"insecure": True}, "studio.local", "open"),
        ({"api_token": TOKEN}, "studio.local", "token"),
    ],
)
def test_how_control_is_had(
    tmp_path: Path, changes: dict[str, Any], host: str, control: str
) -> None:
    answer = client(tmp_path, **changes).get("/access", headers={"Host": host})
    assert answer.get_json() == {"control": control}
    assert answer.headers["Cache-Control"] == "no-store"


def test_access_tells_nothing_of_a_token_that_is_tried(tmp_path: Path) -> None:
    """Else guesses could be made there, where nobody counts them."""
    asking = client(tmp_path, api_token=TOKEN)
    answers = {
        asking.get("/access", headers={"Authorization": f"Bearer {each}"}).data
        for each in (TOKEN, "wrong")
    }
    assert len(answers) == 1


def test_the_limits_are_those_of_the_settings(tmp_path: Path) -> None:
    told = client(tmp_path, max_speech_bytes=12_345, voice="de").get("/api/limits").get_json()
    assert (told["max_speech_bytes"], told["voice"]) == (12_345, "de")
    assert told["max_upload_bytes"] == Settings().max_upload_bytes
    assert told["text_characters"] == LONGEST_TEXT


def test_the_limits_are_for_who_has_control(tmp_path: Path) -> None:
    asking = client(tmp_path, api_token=TOKEN)
    assert asking.get("/api/limits").status_code == 401
    allowed = asking.get("/api/limits", headers={"Authorization": f"Bearer {TOKEN}"})
    assert allowed.status_code == 200


def test_the_page_can_be_installed(tmp_path: Path) -> None:
    asking = client(tmp_path)
    answer = asking.get("/static/manifest.webmanifest")
    assert answer.mimetype == "application/manifest+json"
    manifest = json.loads(answer.data)
    assert {manifest["start_url"], manifest["scope"]} == {"../"}, "also below a folder"
    sizes = set()
    for icon in manifest["icons"]:
        assert asking.get(f"/static/{icon['src']}").mimetype == icon["type"]
        picture = cv2.imread(str(STATIC / icon["src"]))
        assert picture is not None
        height, width = picture.shape[:2]
        assert icon["sizes"] == f"{width}x{height}"
        sizes.add((width, icon.get("purpose", "any")))
    assert sizes == {(192, "any"), (512, "any"), (512, "maskable")}
