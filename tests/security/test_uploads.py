"""Uploads: what is taken, what is refused and with which words, what is kept."""

from __future__ import annotations

import io
import os
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from flask.testing import FlaskClient
from werkzeug.exceptions import ClientDisconnected

from config import Settings
from inference.images import load_image
from inference.speech import load_clip
from rawmedia import MediaFormat
from server.app import create_app
from server.errors import UploadRefused
from server.inspection import Order, rewrite
from server.upload_store import _PARTIAL_SECONDS, UploadStore
from server.uploads import AT_ONCE
from tests.security import files

PNG = files.picture()
Store = tuple[FlaskClient, UploadStore, Path]


@pytest.fixture(autouse=True)
def _in_this_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the child does, without the child: test_inspection.py has it."""
    monkeypatch.setattr("server.upload_store.inspect", rewrite)


def service(root: Path, **changes: Any) -> FlaskClient:
    for name in ("live", "run"):
        (root / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    return create_app(Settings(**changes), root).test_client()


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    return service(tmp_path)


def upload(client: FlaskClient, data: bytes, status: int = 201) -> dict[str, Any]:
    answer = client.post("/api/uploads", data=data)
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.get_json()
    return body


def kept(root: Path) -> list[str]:
    return sorted(p.name for p in (root / "run/uploads").iterdir() if not p.name.startswith("."))


@pytest.mark.parametrize("kind", files.PICTURE_KINDS)
def test_pictures_are_taken_and_kept_as_png(client: FlaskClient, tmp_path: Path, kind: str) -> None:
    told = upload(client, files.picture(kind))
    assert (told["type"], told["width"], told["height"]) == ("image", 320, 240)
    path = UploadStore(Settings(), tmp_path).resolve(told["path"], "image")
    assert path.read_bytes().startswith(b"\x89PNG")
    difference = np.abs(load_image(path, 10**6).astype(int) - files.pixels())
    assert difference.mean() < 20  # of 255: a GIF has few colours


@pytest.mark.parametrize("kind", files.SOUND_KINDS, ids="-".join)
def test_sounds_are_taken_and_kept_as_flac(
    client: FlaskClient, tmp_path: Path, kind: tuple[str, str]
) -> None:
    rate_hz = 48_000 if "OPUS" in kind else files.RATE_HZ
    told = upload(client, files.sound(*kind, rate_hz=rate_hz))
    assert (told["type"], told["rate_hz"], told["channels"]) == ("audio", rate_hz, 1)
    assert told["seconds"] == pytest.approx(2.0, abs=0.1)
    path = UploadStore(Settings(), tmp_path).resolve(told["path"], "audio")
    assert path.read_bytes().startswith(b"fLaC")
    clip = load_clip(path, MediaFormat(64, 64, 25), 10)
    assert np.abs(clip.samples).max() == pytest.approx(0.3 * 32767, rel=0.1)


def test_a_picture_is_kept_as_it_looks(client: FlaskClient, tmp_path: Path) -> None:
    told = upload(client, PNG)
    assert np.array_equal(load_image(tmp_path / "run" / told["path"], 10**6), files.pixels())


@pytest.mark.parametrize("kind", files.PICTURE_KINDS)
def test_a_picture_that_is_cut_off_is_refused(client: FlaskClient, kind: str) -> None:
    whole = files.picture(kind)
    for end in (len(whole) // 2, len(whole) * 9 // 10):
        assert upload(client, whole[:end], 422)["detail"].startswith(("the", "it"))


@pytest.mark.parametrize("kind", files.SOUND_KINDS, ids="-".join)
def test_a_sound_that_is_cut_off_is_refused(client: FlaskClient, kind: tuple[str, str]) -> None:
    whole = files.sound(*kind, rate_hz=48_000)
    detail = upload(client, whole[: len(whole) // 2], 422)["detail"]
    assert "cut off" in detail or "damaged" in detail or "upload it whole" in detail


@pytest.mark.parametrize("kind", [".gif", ".webp", ".png"])
def test_animations_are_refused(client: FlaskClient, kind: str) -> None:
    assert "animation" in upload(client, files.animation(kind), 422)["detail"]


FLOATS = files.pixels().astype(np.float32) / 255


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG drawing"),
        (b"\xef\xbb\xbf <?xml version='1.0'?>\n<svg/>", "SVG drawing"),
        (b"<!DOCTYPE html><script>alert(1)</script>", "web page"),
        (files.picture(".hdr", FLOATS), "high dynamic range"),
        (b"v/1\x01\x02\0\0\0", "high dynamic range"),
        (files.picture(".tiff", FLOATS), "TIFF"),
        (b"\0\0\0\x20ftypavif" + bytes(40), "AVIF"),
        (b"\0\0\0\x20ftypheic" + bytes(40), "HEIC"),
        (b"\0\0\0\x20ftypisom" + bytes(40), "video"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\x03\x04", "ZIP"),
        (b"\x80\x04\x95cos\nsystem\n", "no picture and no sound"),  # a pickle
        (b"\x93NUMPY\x01\0", "no picture and no sound"),
        (b".snd" + bytes(40), "no picture and no sound"),
        (b"\x89PNG", "no picture and no sound"),
        (b"#!/bin/sh\n", "no picture and no sound"),
    ],
)
def test_what_is_neither_is_named_and_refused(
    client: FlaskClient, tmp_path: Path, data: bytes, words: str
) -> None:
    detail = upload(client, data, 415)["detail"]
    assert words in detail
    assert "give a PNG, JPEG" in detail
    assert kept(tmp_path) == []


def test_bombs_are_refused_by_the_limit(client: FlaskClient, tmp_path: Path) -> None:
    detail = upload(client, files.png_bomb(60_000, 60_000), 422)["detail"]
    assert "60000x60000 = 3600000000 pixels, the limit is 40000000" in detail
    zeros = np.zeros(36_000 * 1000, np.float32)
    hours = files.packed(zeros, "FLAC", "PCM_16", 1000)
    assert len(hours) < 1_000_000
    assert "lasts 36000.0 s, the limit is 600 s" in upload(client, hours, 422)["detail"]
    assert kept(tmp_path) == []


def test_a_header_that_lies_about_the_length_is_found_out(
    client: FlaskClient, tmp_path: Path
) -> None:
    short = upload(client, files.flac_that_lies(seconds=1, told_seconds=30), 422)["detail"]
    assert "the file is damaged" in short or "tells of 30.0 s, and 1.0 s are in it" in short
    # Only what the header tells of is read: the rest goes no further.
    told = upload(client, files.flac_that_lies(seconds=700, told_seconds=1))
    assert told["seconds"] == 1.0
    assert soundfile.info(str(tmp_path / "run" / told["path"])).frames == told["rate_hz"]


def test_what_is_decoded_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a header could hide the length, the samples tell it."""
    monkeypatch.setattr("inference.speech._check_header", lambda *_: None)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(files.sound("OGG", "VORBIS", seconds=3))
    with pytest.raises(UploadRefused, match=r"it lasts \d+\.\d s, the limit is 2 s"):
        rewrite(Order(str(source), str(target), 10**6, 2))


def test_samples_that_are_no_numbers_are_refused(client: FlaskClient) -> None:
    data = files.packed(np.full(8000, np.nan, np.float32), "WAV", "FLOAT", 8000)
    assert "NaN" in upload(client, data, 422)["detail"]


def test_what_programs_pipe_without_a_length_is_taken(client: FlaskClient) -> None:
    wav = bytearray(files.sound())
    wav[4:8] = wav[40:44] = b"\xff\xff\xff\xff"
    assert upload(client, bytes(wav))["seconds"] == pytest.approx(2.0)


def test_of_a_polyglot_only_the_picture_is_kept(client: FlaskClient, tmp_path: Path) -> None:
    marker = b"PAYLOAD-THAT-MUST-GO"
    jpeg = files.picture(".jpg")
    comment = b"\xff\xfe" + (len(marker) + 2).to_bytes(2, "big") + marker
    for data in (
        PNG + b"PK\x03\x04" + marker,
        PNG[:33] + files.png_chunk(b"tEXt", b"Comment\0" + marker) + PNG[33:],
        jpeg[:2] + comment + jpeg[2:] + marker,
    ):
        told = upload(client, data)
        assert marker not in (tmp_path / "run" / told["path"]).read_bytes()


def test_a_form_is_taken_and_its_field_says_what_it_must_be(client: FlaskClient) -> None:
    for field in ("file", "image"):
        answer = client.post("/upload", data={field: (io.BytesIO(PNG), "../../etc/passwd")})
        assert answer.status_code == 201
        assert answer.headers["Location"] == f"/api/uploads/{answer.get_json()['id']}"
    answer = client.post("/upload", data={"audio": (io.BytesIO(PNG), "x.wav")})
    assert (answer.status_code, "is a picture" in answer.text) == (422, True)


def test_forms_that_are_refused(client: FlaskClient) -> None:
    two = {"image": (io.BytesIO(PNG), "a"), "file": (io.BytesIO(PNG), "b")}
    other = {"avatar": (io.BytesIO(PNG), "a")}
    many = {f"f{n}": "x" for n in range(20)} | {"file": (io.BytesIO(PNG), "a")}
    big = {"note": "x" * 600_000, "file": (io.BytesIO(PNG), "a")}
    expected = ((two, 400), (other, 400), (many, 413), (big, 413), ({"file": "text"}, 400))
    for form, status in expected:
        answer = client.post("/upload", data=form, content_type="multipart/form-data")
        assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    for kind in (
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "multipart/form-data; b",
    ):
        assert client.post("/upload", data=b"--y\r\n", content_type=kind).status_code == 400
    assert client.post("/upload", data=b"").status_code == 400


@pytest.mark.parametrize("kind", ["application/octet-stream", "multipart/form-data"])
def test_too_many_bytes_are_refused_and_leave_nothing(tmp_path: Path, kind: str) -> None:
    client = service(tmp_path, max_upload_bytes=10_000)
    body: Any = bytes(11_000)
    data = {"file": (io.BytesIO(body), "x")} if kind.startswith("multi") else body
    answer = client.post("/api/uploads", data=data, content_type=kind)
    assert answer.status_code == 413
    assert "limit" in answer.text
    assert "10000" in answer.text
    assert kept(tmp_path) == []


def test_ids_cannot_be_guessed_and_tell_facts_only(client: FlaskClient) -> None:
    told = [upload(client, PNG) for _ in range(2)]
    assert told[0]["id"] != told[1]["id"]
    assert len(told[0]["id"]) == 32
    assert told[0]["path"] == f"uploads/{told[0]['id']}"
    url = f"/api/uploads/{told[0]['id']}"
    assert client.get(url).get_json() == told[0]
    assert client.delete(url).status_code == 204
    assert client.get(url).status_code == client.delete(url).status_code == 404
    assert client.get(f"/api/uploads/{told[1]['id']}").status_code == 200


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e%2f_control.sock", ".count", "demo.json", "0" * 31, "A" * 32, "0" * 32]
)
def test_names_never_become_paths(client: FlaskClient, tmp_path: Path, name: str) -> None:
    upload(client, PNG)
    assert client.get(f"/api/uploads/{name}").status_code == 404
    assert client.delete(f"/api/uploads/{name}").status_code in (404, 405)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return service(tmp_path), UploadStore(Settings(), tmp_path), tmp_path


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "/etc/passwd",
        "uploads/../demo.json",
        "uploads/",
        "../uploads/{id}",
        "{id}",
        "uploads/{id}\n",
        "uploads/{id}/",
        "uploads/{id}\0",
        "uploads/{id}.json",
        "UPLOADS/{id}",
        "file:///x",
    ],
)
def test_only_an_upload_can_be_named(store: Store, reference: str) -> None:
    client, uploads, _root = store
    told = upload(client, PNG)
    with pytest.raises(UploadRefused, match="is no upload that is there"):
        uploads.resolve(reference.format(id=told["id"]), "image")


def test_an_upload_of_the_other_kind_is_refused(store: Store) -> None:
    client, uploads, _root = store
    with pytest.raises(UploadRefused, match="is a picture, wanted is a sound"):
        uploads.resolve(upload(client, PNG)["path"], "audio")


def test_the_folder_is_this_users_alone(store: Store) -> None:
    client, _uploads, root = store
    upload(client, PNG)
    assert stat.S_IMODE((root / "run/uploads").stat().st_mode) == 0o700


def test_uploads_go_when_nobody_used_them_for_so_long(tmp_path: Path) -> None:
    now = [time.monotonic()]
    client = service(tmp_path)
    uploads = UploadStore(Settings(upload_seconds=100), tmp_path, lambda: now[0])
    ids = []
    for _ in range(2):
        with uploads.receiving() as sink:
            sink.write(PNG)
            sink.close()
            ids.append(uploads.keep(sink, "image").id)
    now[0] += 60
    uploads.resolve(f"uploads/{ids[0]}", "image")
    now[0] += 60
    assert uploads.find(ids[0]) is not None
    assert uploads.find(ids[1]) is None
    uploads.sweep()
    assert kept(tmp_path) == [ids[0], f"{ids[0]}.json"]
    assert client.get(f"/api/uploads/{ids[1]}").status_code == 404


def test_no_upload_goes_when_somebody_sets_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither one that is kept nor one that is being received; what is told is by the new clock."""
    client = service(tmp_path)
    uploads = UploadStore(Settings(upload_seconds=100), tmp_path)
    kept_id = upload(client, PNG)["id"]
    with uploads.receiving() as sink:
        really = time.time
        for hours in (1, -2):
            monkeypatch.setattr(time, "time", lambda hours=hours: really() + hours * 3600)
            uploads.sweep()
            found = uploads.find(kept_id)
            assert found is not None
            assert 90 < found.expires_at - time.time() <= 100
            assert sink.path.exists()
            uploads.resolve(f"uploads/{kept_id}", "image")


def test_what_was_left_half_received_goes_in_time(tmp_path: Path) -> None:
    now = [time.monotonic()]
    service(tmp_path)
    uploads = UploadStore(Settings(), tmp_path, lambda: now[0])
    with uploads.receiving() as sink:
        now[0] += _PARTIAL_SECONDS - 1
        uploads.sweep()
        assert sink.path.exists()
        now[0] += 2
        uploads.sweep()
        assert not sink.path.exists()


def test_what_has_no_room_when_its_client_leaves_is_removed_all_the_same(tmp_path: Path) -> None:
    """What waited to be written is written when the file is closed: that may fail, too."""
    service(tmp_path)
    uploads = UploadStore(Settings(), tmp_path)

    def leave_in_the_middle() -> None:
        with uploads.receiving() as sink, Path("/dev/full").open("wb") as full:
            os.dup2(full.fileno(), sink._file.fileno())
            sink.write(bytes(1000))
            raise ClientDisconnected

    with pytest.raises(UploadRefused, match="No space left"):
        leave_in_the_middle()
    assert kept(tmp_path) == []


def test_a_media_root_that_refuses_is_told_in_its_words(
    client: FlaskClient, tmp_path: Path
) -> None:
    (tmp_path / "run").rename(tmp_path / "away")
    assert "No such file" in upload(client, PNG, 507)["detail"]


def test_uploads_go_also_when_nobody_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.uploads.SWEEP_SECONDS", 0.01)
    client = service(tmp_path, upload_seconds=60)
    told = upload(client, PNG)
    long_ago = time.monotonic() - 61
    os.utime(tmp_path / "run" / told["path"], (long_ago, long_ago))
    deadline = time.monotonic() + 10
    while kept(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_uploads": 2}, "2 uploads are kept, the limit is 2"),
        ({"max_uploads_bytes": 1_000_000}, "the limit is 1000000"),
    ],
)
def test_count_and_room_are_limited(tmp_path: Path, changes: dict[str, int], words: str) -> None:
    client = service(tmp_path, **changes)
    noise = np.random.default_rng(1).integers(0, 255, (400, 400, 3), dtype=np.uint8)
    data = files.picture(".png", noise)  # 480 kB
    told = [upload(client, data) for _ in range(2)]
    answer = upload(client, data, 507)
    assert words in answer["detail"]
    assert len(kept(tmp_path)) == 4
    assert client.delete(f"/api/uploads/{told[0]['id']}").status_code == 204
    upload(client, data)


def test_streams_keep_a_quarter_of_the_memory(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Room:
        f_blocks, f_bavail, f_frsize = 1000, 249, 4096

    monkeypatch.setattr("server.upload_store.os.statvfs", lambda _: Room)
    detail = upload(client, PNG, 507)["detail"]
    assert "1019904 bytes are free" in detail
    assert "a quarter of it (1024000 bytes) stays free" in detail
    Room.f_bavail = 250
    upload(client, PNG)


def test_only_some_are_received_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = service(tmp_path)
    received, go_on = threading.Semaphore(0), threading.Event()

    def slow(order: Order) -> dict[str, Any]:
        received.release()
        assert go_on.wait(10)
        return rewrite(order)

    monkeypatch.setattr("server.upload_store.inspect", slow)
    monkeypatch.setattr(UploadStore, "_locked", lambda *_: nullcontext())  # all at once
    with ThreadPoolExecutor() as pool:
        asked = [
            pool.submit(client.application.test_client().post, "/upload", data=PNG)
            for _ in range(AT_ONCE)
        ]
        for _ in asked:
            assert received.acquire(timeout=10)
        refused = client.post("/upload", data=PNG)
        go_on.set()
        assert [each.result(10).status_code for each in asked] == [201] * AT_ONCE
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert client.post("/upload", data=PNG).status_code == 201


def test_a_photo_larger_than_any_stream_is_made_smaller(
    client: FlaskClient, tmp_path: Path
) -> None:
    told = upload(client, files.picture(".jpg", files.pixels(5000, 2500)))
    assert (told["width"], told["height"]) == (4096, 2048)
    assert load_image(tmp_path / "run" / told["path"], 10**7).shape == (2048, 4096, 3)


def test_a_photo_lies_as_its_camera_was_held(client: FlaskClient) -> None:
    jpeg = files.picture(".jpg")
    turned = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    segment = b"\xff\xe1" + (len(turned) + 2).to_bytes(2, "big") + turned
    told = upload(client, jpeg[:2] + segment + jpeg[2:])
    assert (told["width"], told["height"]) == (240, 320)


def test_sound_of_many_channels_is_kept_as_stereo(client: FlaskClient, tmp_path: Path) -> None:
    data = files.packed(np.full((4000, 6), 0.5, np.float32), "WAV", "PCM_16", 4000)
    told = upload(client, data)
    assert (told["channels"], told["rate_hz"], told["seconds"]) == (2, 48_000, 1.0)
    assert soundfile.info(str(tmp_path / "run" / told["path"])).channels == 2
