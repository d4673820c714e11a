"""What the compatibility page rests on: pinned libraries, counted stalls, generated tables."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from tests.browser.folder_site import serve_folder
from tests.compat import libraries
from tests.compat.libraries import Library, NoLibrary, fetch
from tests.compat.programs import FFMPEG_COMPLAINT, Progress
from tests.compat.recorder import Record, Request
from tools import generated

PLAYLIST = b"""#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:1
#EXT-X-PART-INF:PART-TARGET=0.5
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-MAP:URI="ab-init.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z
#EXTINF:1.0,
ab-7.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:01.000Z
#EXT-X-PART:DURATION=0.5,URI="ab-8.0.m4s",INDEPENDENT=YES
"""
SECOND_7 = 1767225600.0  # 2026-01-01T00:00:00Z


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    """A package in a registry of our own; its pin is right."""
    archive, body = io.BytesIO(), b"export default 1;"
    with tarfile.open(fileobj=archive, mode="w:gz") as package:
        info = tarfile.TarInfo("package/it.mjs")
        info.size = len(body)
        package.addfile(info, io.BytesIO(body))
    folder = tmp_path / "registry" / "it" / "-"
    folder.mkdir(parents=True)
    (folder / "it-1.0.0.tgz").write_bytes(archive.getvalue())
    monkeypatch.setattr(libraries, "CACHE", tmp_path / "cache")
    digest = hashlib.sha512(archive.getvalue()).digest()
    return Library("it", "1.0.0", base64.b64encode(digest).decode(), "package/it.mjs")


def test_a_library_is_fetched_once(
    registry: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_folder(tmp_path / "registry") as url:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", url)
        kept = fetch(registry)
    assert kept.read_text() == "export default 1;"
    assert kept.suffix == ".mjs"
    assert fetch(registry) == kept, "the registry is gone by now"


def test_another_content_than_pinned_is_refused(
    registry: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Library(registry.package, registry.version, "AAAA", registry.member)
    with serve_folder(tmp_path / "registry") as url:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", url)
        with pytest.raises(NoLibrary, match="not as pinned"):
            fetch(other)
    assert not (tmp_path / "cache").exists()


def test_no_registry_is_said(registry: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9")
    with pytest.raises(NoLibrary, match=r"it 1\.0\.0 from npm: ConnectionError"):
        fetch(registry)


def test_a_stall_is_more_wall_clock_than_media() -> None:
    smooth = [(100 + n / 5, 1 + n / 5) for n in range(101)]
    stood = [(at + (0.3 if at > 110 else 0), media) for at, media in smooth]
    for points, stalls in ((smooth, 0), (stood, 1)):
        playing = Progress(99.0, points).playing("1", made_at=90.0, errors=[])
        assert playing.stalls == stalls
        assert playing.started_seconds == pytest.approx(1.0)
        assert playing.latency_seconds == pytest.approx(9.0, abs=0.31)


@pytest.mark.parametrize(
    ("row", "complains"),
    [
        ("out_time_us=20000", False),
        ("progress=continue", False),
        ("[NULL @ 0x5] Invalid NAL unit size (922 > 253).", False),
        ("[h264 @ 0x5] Invalid NAL unit size (922 > 253).", True),
        ("Error opening input: Server returned 404 Not Found", True),
    ],
)
def test_what_counts_as_a_complaint_of_ffmpeg(row: str, complains: bool) -> None:
    assert bool(FFMPEG_COMPLAINT.match(row)) == complains


def test_a_record_knows_parts_reloads_and_ages() -> None:
    asked = [
        ("v0/media.m3u8", "", 2.0, PLAYLIST),
        ("v0/media.m3u8", "_HLS_msn=8&_HLS_part=1", 2.1, b""),
        ("a0/ab-8.0.m4s", "", 2.2, b""),
        ("v0/ab-8.0.m4s", "", 2.5, b""),
        ("v0/ab-7.m4s", "", 2.6, b""),
    ]
    record = Record("http://here")
    for path, query, at, body in asked:
        record.requests.append(Request(f"/live/demo/{path}", query, SECOND_7 + at, 200, body))
    assert (record.parts, record.held_reloads, record.video_rungs) == (2, 1, ("v0",))
    assert record.made_at() == SECOND_7
    assert record.part_age() == pytest.approx(1.5)
    assert record.refused == []


def test_only_what_stands_between_the_markers_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- begin it (how) -->\nold\n<!-- end it -->\nb\n")
    generated.write(page, "it", generated.table(["x", "y"], [["1", "2"]]))
    assert generated.read(page, "it") == "| x | y |\n| --- | --- |\n| 1 | 2 |\n"
    assert page.read_text().startswith("a\n<!-- begin it (how) -->\n| x")
    assert page.read_text().endswith("<!-- end it -->\nb\n")
    with pytest.raises(generated.NoMarkers, match="0 pairs of markers named 'other'"):
        generated.read(page, "other")
