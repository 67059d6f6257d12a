"""Blobs in a folder while somebody collects garbage."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from calotype.workspace import blob_folder
from calotype.workspace.blob_folder import BlobFolder

LONG_AGO_S = 1_000_000.0


def test_what_is_stored_again_while_it_is_collected_stays(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path / "store")
    (tmp_path / "file").write_text("content")
    ((digest, _),) = blobs.put_files([tmp_path / "file"])
    start, end = threading.Barrier(2), threading.Barrier(2)

    def collect() -> None:
        for _ in range(150):
            start.wait(60)
            blobs.delete(digest, before=LONG_AGO_S + 1)
            end.wait(60)

    thread = threading.Thread(target=collect)
    thread.start()
    for _ in range(150):
        os.utime(blobs.path(digest), (LONG_AGO_S, LONG_AGO_S))
        start.wait(60)
        blobs.put_files([tmp_path / "file"])
        end.wait(60)
        with blobs.open(digest) as file:
            assert file.read() == b"content"
    thread.join()


def test_what_is_old_goes_and_what_is_young_stays(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path)
    digest = hashlib.sha256(b"x").hexdigest()
    blobs.put_bytes(digest, b"x")
    assert not blobs.delete(digest, before=LONG_AGO_S)
    os.utime(blobs.path(digest), (LONG_AGO_S, LONG_AGO_S))
    assert blobs.delete(digest, before=LONG_AGO_S)
    assert not blobs.delete(digest, before=LONG_AGO_S)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_is_collected_while_the_rest_is_written_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blob_folder, "_BATCH", 1)
    blobs = BlobFolder(tmp_path / "store")
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("first")
    second.write_text("second")
    listed = _Files([first, second], lambda: _collect(blobs))
    stored = blobs.put_files(listed)
    for (digest, _), text in zip(stored, (b"first", b"second"), strict=True):
        with blobs.open(digest) as file:
            assert file.read() == text


class _Files(list[Path]):
    """Paths that let something happen, once, before the second is given."""

    def __init__(self, paths: list[Path], happens: Callable[[], None]) -> None:
        super().__init__(paths)
        self._happens: Callable[[], None] | None = happens

    def __getitem__(self, key: Any) -> Any:
        if key.start == 1 and self._happens:
            happens, self._happens = self._happens, None
            happens()
        return super().__getitem__(key)


def _collect(blobs: BlobFolder) -> None:
    for blob in blobs.all():
        assert blobs.delete(blob.digest, before=time.time() + 60)
