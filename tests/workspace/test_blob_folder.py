"""Blobs in a folder while somebody collects garbage."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

from calotype.workspace.blob_folder import BlobFolder

LONG_AGO_S = 1_000_000.0


def test_what_is_stored_again_while_it_is_collected_stays(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path / "store")
    (tmp_path / "file").write_text("content")
    ((digest, _),) = blobs.put_files([tmp_path / "file"])
    start, end = threading.Barrier(2), threading.Barrier(2)

    def collect() -> None:
        for _ in range(150):
            start.wait(10)
            blobs.delete(digest, before=LONG_AGO_S + 1)
            end.wait(10)

    thread = threading.Thread(target=collect)
    thread.start()
    for _ in range(150):
        os.utime(blobs.path(digest), (LONG_AGO_S, LONG_AGO_S))
        start.wait(10)
        blobs.put_files([tmp_path / "file"])
        end.wait(10)
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
