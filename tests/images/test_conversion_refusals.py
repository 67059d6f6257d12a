"""Convert to Image Directory: what it refuses, and where its result may go."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conversion_watch import Heard, count_headers

from calotype import errors
from calotype.images.convert import convert
from calotype.images.image_directory import ImageDirectory


def test_the_output_may_lie_inside_the_source(photos: Path, tmp_path: Path) -> None:
    made = convert(photos, photos / "out")
    assert made.categories == ["cats", "dogs"]
    assert made.info.counts.skipped == {}
    heard = Heard()
    convert(photos, photos / "out", progress=heard)
    assert "has not changed" in heard.said[0]


def test_nothing_of_somebody_else_is_overwritten(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").touch()
    (tmp_path / "file").touch()
    for place in (tmp_path / "full", tmp_path / "file", photos):
        with pytest.raises(errors.AlreadyExists, match="Choose another folder"):
            convert(photos, place)
    convert(photos, tmp_path / "out")
    (tmp_path / "out/thesis.txt").touch()
    with pytest.raises(errors.AlreadyExists):
        convert(photos, tmp_path / "out", digest=True)
    convert(photos / "cats", tmp_path / "cats")
    with pytest.raises(errors.AlreadyExists, match="image directory of something else"):
        convert(photos, tmp_path / "cats")
    (tmp_path / "empty").mkdir()
    assert len(convert(photos, tmp_path / "empty")) == 5


def test_no_image_says_what_was_seen(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    with pytest.raises(errors.InvalidDataset, match="Got an empty folder") as raised:
        convert(folder, tmp_path / "out", labels="folders")
    assert raised.value.number == 18
    for name in ("a.gif", "b.gif", "c.gif", "d.gif", ".e.jpg"):
        (folder / name).touch()
    expected = r"5 files: 4 wrong extension \(a.gif, b.gif, c.gif, …\); 1 hidden \(.e.jpg\)"
    with pytest.raises(errors.InvalidDataset, match=expected):
        convert(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert os.listdir(tmp_path) == ["photos"]


@pytest.mark.parametrize("name", ["missing", "file.txt", "pipe", "image.gif"])
def test_what_is_no_source_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("text")
    (tmp_path / "image.gif").write_bytes(b"GIF89a")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(errors.InvalidDataset, match=f"{name}: expected a folder of images"):
        convert(tmp_path / name, tmp_path / "out")


def test_class_folders_can_be_demanded(photos: Path, tmp_path: Path) -> None:
    assert len(convert(photos, tmp_path / "out", labels="folders").categories) == 2
    with pytest.raises(errors.NotLabeled) as raised:
        convert(photos / "cats", tmp_path / "cats", labels="folders")
    assert raised.value.number == 24


def test_a_place_below_a_file_is_refused_before_any_work(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = count_headers(monkeypatch)
    (tmp_path / "file").touch()
    with pytest.raises(errors.CannotWrite, match="choose another folder"):
        convert(photos, tmp_path / "file" / "out")
    with pytest.raises(errors.CannotWrite, match="Choose a shorter path"):
        convert(photos, tmp_path / ("x" * 300))
    assert read == []


def test_a_full_disk_leaves_nothing_behind(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(photos, tmp_path / "out")
    before = sorted(os.listdir(tmp_path))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("calotype.images.tar_writer.TarWriter.add", full)
    with pytest.raises(errors.CannotWrite, match="Free some disk space"):
        convert(photos, tmp_path / "out", copy=True)
    assert sorted(os.listdir(tmp_path)) == before
    assert len(ImageDirectory.load(tmp_path / "out")) == 5


def test_a_file_size_limit_is_one_message(photos: Path, tmp_path: Path) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    run = subprocess.run(
        [sys.executable, "-m", "calotype", "convert", photos, tmp_path / "out"],
        capture_output=True,
        text=True,
        preexec_fn=limit,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.startswith("error 0046: ")
    assert run.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == ["photos"]
