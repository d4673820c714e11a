from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from config import Settings
from server.app import create_app
from server.listing import START_SECONDS, edge_age


def client(root: Path, token: str = "") -> FlaskClient:
    for name in ("live/demo/v0", "run"):
        (root / name).mkdir(parents=True, exist_ok=True)
    figures = {"id": "demo", "state": "live", "part_target_seconds": 0.2, "segment_seconds": 2.0}
    (root / "run/demo.json").write_text(json.dumps(figures))
    (root / "live/demo/v0/media.m3u8").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1\n"
    )
    return create_app(Settings(api_token=token), root).test_client()


def test_streams_tell_where_to_play(tmp_path: Path) -> None:
    listed = client(tmp_path).get("/api/streams").get_json()["streams"]
    assert [s["id"] for s in listed] == ["demo"]
    assert listed[0]["playback"] == {"hls": "/live/demo/index.m3u8"}


def test_a_stream_with_tokens_is_linked_with_one(tmp_path: Path) -> None:
    client(tmp_path)
    app = create_app(Settings(viewer_key="k" * 16), tmp_path)
    path = app.test_client().get("/api/streams/demo").get_json()["playback"]["hls"]
    assert re.fullmatch(r"/live/demo/t/[\w-]{28}/index\.m3u8", path)


def test_one_stream_and_an_unknown_one(tmp_path: Path) -> None:
    asking = client(tmp_path)
    assert asking.get("/api/streams/demo").get_json()["state"] == "live"
    missing = asking.get("/api/streams/nobody")
    assert missing.status_code == 404
    assert "nobody" in missing.get_json()["detail"]


def test_ready_only_while_the_newest_part_is_young(tmp_path: Path) -> None:
    asking = client(tmp_path)
    playlist = tmp_path / "live/demo/v0/media.m3u8"
    os.utime(playlist)  # just now, however long it took to come here
    assert asking.get("/readyz").status_code == 200
    old = time.time() - 1.0  # three parts of 0.2 s are the limit
    os.utime(playlist, (old, old))
    stale = asking.get("/readyz")
    assert stale.status_code == 503
    assert stale.get_json()["live_edge_age_seconds"]["demo"] >= 1.0
    assert asking.get("/healthz").status_code == 200


def roster(root: Path, **streams: dict[str, Any]) -> None:
    (root / "run/_roster.json").write_text(json.dumps({"streams": streams, "web": []}))


def test_a_new_stream_takes_no_service_out_of_a_balancer(tmp_path: Path) -> None:
    """Until it has been starting for too long."""
    asking = client(tmp_path)
    os.utime(tmp_path / "live/demo/v0/media.m3u8")
    young = {"state": "running", "processes": [], "began": time.monotonic()}
    roster(tmp_path, new=young)
    ready = asking.get("/readyz")
    assert ready.status_code == 200
    assert (ready.get_json()["streams"], ready.get_json()["starting"]) == (2, 1)
    os.utime(tmp_path / "live/demo/v0/media.m3u8")
    roster(tmp_path, new=young | {"began": time.monotonic() - START_SECONDS - 1})
    stale = asking.get("/readyz")
    assert stale.status_code == 503
    assert list(stale.get_json()["stale"]) == ["new"]


def test_a_service_whose_only_stream_starts_is_not_ready_yet(tmp_path: Path) -> None:
    asking = client(tmp_path)
    (tmp_path / "run/demo.json").unlink()
    roster(tmp_path, new={"state": "running", "processes": [], "began": time.monotonic()})
    assert asking.get("/readyz").status_code == 503


def test_only_who_may_list_streams_is_told_their_names_by_the_check(tmp_path: Path) -> None:
    asking = client(tmp_path, "secret")
    for age, status in ((0.0, 200), (9.0, 503)):
        at = time.time() - age
        os.utime(tmp_path / "live/demo/v0/media.m3u8", (at, at))
        stranger = asking.get("/readyz")
        assert stranger.status_code == status
        assert "demo" not in stranger.get_data(as_text=True)
        assert stranger.get_json()["streams"] == 1
        right = asking.get("/readyz", headers={"Authorization": "Bearer secret"})
        assert right.status_code == status
        assert list(right.get_json()["live_edge_age_seconds"]) == ["demo"]


def test_a_stream_whose_encoder_process_is_away_is_not_live(tmp_path: Path) -> None:
    """Its figures are of the dead one, until the next begins."""
    asking = client(tmp_path)
    away = {"name": "encoder", "pid": None}
    roster(tmp_path, demo={"state": "running", "processes": [away]})
    assert asking.get("/api/streams/demo").get_json()["state"] == "restarting"
    roster(tmp_path, demo={"state": "running", "processes": [away | {"pid": 7}]})
    assert asking.get("/api/streams/demo").get_json()["state"] == "live"


@pytest.mark.parametrize(
    ("what", "by_wall", "at_most", "since_beat", "age"),
    [
        ("it plays, with media since the last beat", 0.1, 0.5, 0.4, 0.1),
        ("it stands still", 5.0, 5.0, 0.2, 5.0),
        ("the same, with the clock set back an hour", 5.0 - 3600, 5.0, 0.2, 5.0),
        ("the same, with the clock set forth an hour", 5.0 + 3600, 5.0, 0.2, 5.0),
        ("it plays, and the clock was set forth", 3600.1, 0.6, 0.5, 0.6),
        ("its process hangs, with media after the last beat", 8.0, 8.3, 8.2, 8.0),
        ("the same, with the clock set back an hour", 8.0 - 3600, 8.3, 8.2, 8.3),
    ],
)
def test_how_old_media_is_whatever_becomes_of_the_clock(
    what: str, by_wall: float, at_most: float, since_beat: float, age: float
) -> None:
    assert edge_age(by_wall, at_most, since_beat) == age, what


def test_an_ended_stream_is_no_reason_to_be_unready(tmp_path: Path) -> None:
    asking = client(tmp_path)
    (tmp_path / "run/demo.json").write_text(json.dumps({"id": "demo", "state": "ended"}))
    os.utime(tmp_path / "live/demo/v0/media.m3u8", (1, 1))
    assert asking.get("/readyz").status_code == 200


def test_ending_a_stream_needs_a_supervisor_and_a_stream(tmp_path: Path) -> None:
    asking = client(tmp_path)
    assert asking.delete("/api/streams/nobody").status_code == 404
    away = asking.delete("/api/streams/demo")
    assert away.status_code == 503
    assert "supervisor" in away.get_json()["detail"]
    assert client(tmp_path, "secret").delete("/api/streams/demo").status_code == 401


def test_not_ready_without_a_stream(tmp_path: Path) -> None:
    asking = client(tmp_path)
    (tmp_path / "run/demo.json").unlink()
    assert asking.get("/readyz").status_code == 503


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic c2VjcmV0", "Bearer secre\u0301t"])
def test_a_token_is_asked_for_where_one_is_set(tmp_path: Path, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode().decode("latin-1")}
    answer = client(tmp_path, "secret").get("/api/streams", headers=headers)
    assert answer.status_code == 401
    assert answer.mimetype == "application/problem+json"


def test_the_right_token_opens_and_viewers_need_none(tmp_path: Path) -> None:
    asking = client(tmp_path, "secret")
    right = {"Authorization": "Bearer secret"}
    assert asking.get("/api/streams", headers=right).status_code == 200
    assert asking.get("/healthz").status_code == 200
    assert asking.get("/live/demo/v0/media.m3u8").status_code == 200


def test_page_and_assets_carry_a_strict_policy(tmp_path: Path) -> None:
    asking = client(tmp_path)
    for path in ("/", "/demo", "/static/player.css"):
        answer = asking.get(path)
        assert answer.status_code == 200, path
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/static/../config.py", "/static/%2e%2e/config.py", "/nothing", "/api/nothing"]
)
def test_unknown_paths_are_problems(tmp_path: Path, path: str) -> None:
    answer = client(tmp_path).get(path)
    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"
