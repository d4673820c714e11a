"""Files appear whole or not at all, within the bound (rule 12)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from encoder.errors import StoreFull, StoreUnwritable
from encoder.store import PARTIAL_PREFIX, StreamStore
from tests.unit.mounts import make_read_only, small_tmpfs

KIB = 1024


@pytest.fixture
def store(tmp_path: Path) -> StreamStore:
    opened = StreamStore(tmp_path / "live" / "demo", limit_bytes=100 * KIB)
    opened.open(("v0", "a0"))
    return opened


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[StreamStore]:
    """A store on a tmpfs of 64 KiB."""
    with small_tmpfs(tmp_path / "mount") as mounted:
        opened = StreamStore(mounted / "demo", limit_bytes=1024 * KIB)
        opened.open(("v0",))
        yield opened


def on_disk(store: StreamStore) -> dict[str, bytes]:
    files = (path for path in store.folder.rglob("*") if path.is_file())
    return {str(path.relative_to(store.folder)): path.read_bytes() for path in files}


def test_published_files_are_there_and_counted(store: StreamStore) -> None:
    store.publish("v0/1.m4s", b"abc")
    store.publish("a0/1.m4s", b"de")
    assert on_disk(store) == {"v0/1.m4s": b"abc", "a0/1.m4s": b"de"}
    assert store.used_bytes == 5


def test_a_replaced_file_counts_once(store: StreamStore) -> None:
    for text in (b"a" * 50 * KIB, b"b" * 60 * KIB, b"c" * 100 * KIB):
        store.publish("v0/media.m3u8", text)
    assert on_disk(store) == {"v0/media.m3u8": b"c" * 100 * KIB}
    assert store.used_bytes == 100 * KIB


def test_rule_12_a_file_gets_its_name_when_it_is_whole(
    store: StreamStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a reader could see at the instant before the rename, and the instant after."""
    seen = []
    rename = os.rename

    def watched(partial: str, target: str) -> None:
        seen.append(on_disk(store))
        rename(partial, target)

    monkeypatch.setattr(os, "rename", watched)
    store.publish("v0/media.m3u8", b"old")
    store.publish("v0/media.m3u8", b"new and longer")
    partial = f"v0/{PARTIAL_PREFIX}media.m3u8"
    assert seen == [
        {partial: b"old"},
        {"v0/media.m3u8": b"old", partial: b"new and longer"},
    ]
    assert on_disk(store) == {"v0/media.m3u8": b"new and longer"}


def test_the_bound_is_kept_and_the_old_file_stays(store: StreamStore) -> None:
    store.publish("v0/1.m4s", b"a" * 60 * KIB)
    store.publish("v0/media.m3u8", b"old")
    with pytest.raises(StoreFull, match=f"the bound is {100 * KIB}") as caught:
        store.publish("v0/media.m3u8", b"b" * 41 * KIB)
    assert caught.value.path == store.folder
    assert on_disk(store)["v0/media.m3u8"] == b"old"
    assert store.used_bytes == 60 * KIB + 3
    store.remove("v0/1.m4s")
    store.publish("v0/media.m3u8", b"b" * 41 * KIB)
    assert store.used_bytes == 41 * KIB


def test_a_removed_file_may_be_gone_already(store: StreamStore) -> None:
    store.publish("v0/1.m4s", b"abc")
    (store.folder / "v0/1.m4s").unlink()
    store.remove("v0/1.m4s")
    store.remove("v0/never-there.m4s")
    assert store.used_bytes == 0


def test_what_a_crashed_process_left_is_counted_kept_and_forgotten(store: StreamStore) -> None:
    store.publish("v0/old.m4s", b"a" * 10)
    store.publish("v0/media.m3u8", b"old")
    (store.folder / "v0" / f"{PARTIAL_PREFIX}torn.m4s").write_bytes(b"a")
    successor = StreamStore(store.folder, store.limit_bytes)
    successor.open(("v0", "a0"))
    assert on_disk(successor) == {"v0/old.m4s": b"a" * 10, "v0/media.m3u8": b"old"}
    assert successor.used_bytes == 13
    successor.publish("v0/media.m3u8", b"newer")
    assert successor.used_bytes == 15
    successor.remove_leftovers()
    assert on_disk(successor) == {"v0/media.m3u8": b"newer"}
    assert successor.used_bytes == 5


def test_leftovers_make_room_before_the_stream_does(store: StreamStore) -> None:
    store.publish("v0/old.m4s", b"a" * 60 * KIB)
    successor = StreamStore(store.folder, store.limit_bytes)
    successor.open(("v0", "a0"))
    successor.publish("v0/new.m4s", b"b" * 60 * KIB)
    assert set(on_disk(successor)) == {"v0/new.m4s"}


def test_a_full_file_system(tiny: StreamStore) -> None:
    """A real ENOSPC: the old file stays whole, nothing half written is left, room can come back."""
    tiny.publish("v0/1.m4s", b"a" * 32 * KIB)
    tiny.publish("v0/media.m3u8", b"old")
    with pytest.raises(StoreFull, match=r"v0/media\.m3u8: No space left .* setting media_root"):
        tiny.publish("v0/media.m3u8", b"b" * 40 * KIB)
    assert on_disk(tiny) == {"v0/1.m4s": b"a" * 32 * KIB, "v0/media.m3u8": b"old"}
    assert tiny.used_bytes == 32 * KIB + 3
    tiny.remove("v0/1.m4s")
    tiny.publish("v0/media.m3u8", b"b" * 40 * KIB)


def test_a_read_only_file_system(tiny: StreamStore) -> None:
    tiny.publish("v0/1.m4s", b"abc")
    make_read_only(tiny.folder.parent)
    with pytest.raises(StoreUnwritable, match=r"v0/2\.m4s: Read-only file system") as caught:
        tiny.publish("v0/2.m4s", b"abc")
    assert not isinstance(caught.value, StoreFull)
    with pytest.raises(StoreUnwritable, match=r"v0/1\.m4s: Read-only file system"):
        tiny.remove("v0/1.m4s")
    with pytest.raises(StoreUnwritable, match="Read-only file system"):
        StreamStore(tiny.folder.parent / "other", KIB).open(("v0",))


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "live").write_text("")
    with pytest.raises(StoreUnwritable, match="Not a directory"):
        StreamStore(tmp_path / "live" / "demo", KIB).open(("v0",))


def test_a_folder_that_was_taken_away(store: StreamStore) -> None:
    store.delete()
    assert not store.folder.exists()
    with pytest.raises(StoreUnwritable, match="No such file"):
        store.publish("v0/1.m4s", b"abc")


def test_12_of_files_that_belong_together_none_appears_where_one_has_no_room(
    tiny: StreamStore,
) -> None:
    tiny.publish_together({"v0/media.m3u8.gz": b"old", "v0/media.m3u8": b"old"})
    with pytest.raises(StoreFull):
        tiny.publish_together({"v0/media.m3u8.gz": b"new", "v0/media.m3u8": bytes(128 * KIB)})
    assert on_disk(tiny) == {"v0/media.m3u8.gz": b"old", "v0/media.m3u8": b"old"}
    assert tiny.used_bytes == 6


def test_room_to_go_on_is_tried_and_looked_for(tiny: StreamStore) -> None:
    tiny.require_room(16 * KIB)
    assert on_disk(tiny) == {}
    with pytest.raises(StoreFull, match=f"{1024 * KIB} are needed to go on"):
        tiny.require_room(1024 * KIB)
    make_read_only(tiny.folder.parent)
    with pytest.raises(StoreUnwritable, match="Read-only file system"):
        tiny.require_room(0)


def test_no_descriptor_left_is_told_with_its_own_remedy(tmp_path: Path) -> None:
    error = OSError(errno.EMFILE, "Too many open files")
    assert "LimitNOFILE" in str(StoreUnwritable.of(tmp_path, error))
