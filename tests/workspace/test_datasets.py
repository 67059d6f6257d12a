"""Registered datasets: by reference, copied, by pattern; what happens when files change."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from calotype import errors
from calotype.images.convert import convert
from calotype.images.image_directory import ImageDirectory
from calotype.progress import Silence
from calotype.workspace.garbage import collect
from calotype.workspace.workspace import Workspace

PHOTOS = {"cats/1.jpg", "cats/2.png", "cats/3.JPG", "dogs/1.jpg", "dogs/2.bmp"}
SOURCES = Path(__file__).parents[2] / "src"


class Heard(Silence):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


def names(folder: Path) -> list[str]:
    """Return the files below a folder."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


class TestReference:
    def test_nothing_is_copied(self, workspace: Workspace, photos: Path) -> None:
        made = workspace.datasets.register("flowers", photos, tags={"a": "1"}, description="d")
        assert (made.id, made.kind, made.files) == ("flowers:1", "reference", 5)
        assert made.bytes == sum(path.stat().st_size for path in photos.rglob("*.*"))
        assert made.path_or_unpacked() == photos
        assert workspace.datasets.get("flowers") == made
        assert not (workspace.place.root / "artifacts").exists()

    def test_the_same_files_stay_a_version(self, workspace: Workspace, photos: Path) -> None:
        datasets = workspace.datasets
        datasets.register("d", photos, tags={"a": "1"})
        again = datasets.register("d", photos, tags={"b": "2"}, description="new")
        assert (again.version, again.tags, again.description) == (1, {"a": "1", "b": "2"}, "new")
        assert datasets.get("d") == again
        assert datasets.register("d", photos, create_new_version=True).version == 2

    def test_other_files_become_a_version(self, workspace: Workspace, photos: Path) -> None:
        workspace.datasets.register("d", photos)
        (photos / "cats" / "1.jpg").unlink()
        second = workspace.datasets.register("d", photos)
        assert (second.version, second.files) == (2, 4)
        assert workspace.datasets.find("d").version == 2
        assert workspace.datasets.find("d:1").files == 5

    def test_files_that_changed_are_an_error(self, workspace: Workspace, photos: Path) -> None:
        made = workspace.datasets.register("d", photos)
        (photos / "new.txt").write_text("1234")
        with pytest.raises(errors.InvalidDataset, match=r"'d:1'.*6 files of .* instead of 5"):
            made.path_or_unpacked()
        (photos / "new.txt").unlink()
        (photos / "cats" / "1.jpg").rename(photos / "cats" / "9.jpg")
        with pytest.raises(errors.InvalidDataset, match="other names or sizes"):
            made.path_or_unpacked()

    def test_files_that_vanished_are_an_error(self, workspace: Workspace, photos: Path) -> None:
        made = workspace.datasets.register("d", photos)
        photos.rename(photos.with_name("gone"))
        with pytest.raises(errors.InvalidDataset, match=r"nothing there.*register them again"):
            made.path_or_unpacked()
        with pytest.raises(errors.InvalidDataset, match="nothing there"):
            made.download(photos.parent / "out")

    def test_files_written_again_are_a_warning(self, workspace: Workspace, photos: Path) -> None:
        made = workspace.datasets.register("d", photos)
        os.utime(photos / "cats" / "1.jpg", (1, 1))
        heard = Heard()
        assert made.path_or_unpacked(progress=heard) == photos
        assert len(heard.said) == 1
        assert "written again" in heard.said[0]

    def test_a_download_copies(self, workspace: Workspace, photos: Path, tmp_path: Path) -> None:
        made = workspace.datasets.register("d", photos)
        out = tmp_path / "out"
        assert made.download(out) == out
        assert names(out) == names(photos)
        with pytest.raises(errors.AlreadyExists, match="cats"):
            made.download(out)
        made.download(out, exist_ok=True)

    def test_a_workspace_inside_is_no_part_of_it(
        self, workspace: Workspace, photos: Path, tmp_path: Path
    ) -> None:
        inside = Workspace.create("inside", photos)
        made = inside.datasets.register("d", photos)
        assert made.files == 5
        made.check()
        assert inside.datasets.register("d", photos, copy=True).files == 5
        inside.close()
        # Its key file must not get into another workspace either.
        copied = workspace.datasets.register("d", photos, copy=True)
        assert names(copied.path_or_unpacked()) == sorted(set(names(photos)) & PHOTOS)

    def test_links(self, workspace: Workspace, photos: Path, tmp_path: Path) -> None:
        folder = tmp_path / "links"
        folder.mkdir()
        (folder / "photos").symlink_to(photos)
        (folder / "around").symlink_to(folder)
        (folder / "itself").symlink_to("itself")
        (folder / "nowhere").symlink_to("missing")
        heard = Heard()
        made = workspace.datasets.register("d", folder, progress=heard)
        assert made.files == 5
        assert any("itself, nowhere, around" in said for said in heard.said)

    def test_names_of_any_letters(self, workspace: Workspace, tmp_path: Path) -> None:
        folder = tmp_path / "größe"
        folder.mkdir()
        for name in (os.fsencode("ä é 日本.txt"), b"\xff.txt"):
            with open(os.path.join(os.fsencode(folder), name), "wb") as file:
                file.write(b"x")
        for copy in (False, True):
            made = workspace.datasets.register("d", folder, copy=copy)
            assert made.files == 2
            made.download(tmp_path / f"out-{copy}")
            assert (tmp_path / f"out-{copy}" / "ä é 日本.txt").read_text() == "x"

    def test_many_files_take_seconds(self, workspace: Workspace, tmp_path: Path) -> None:
        folder = tmp_path / "many"
        for group in range(20):
            (folder / str(group)).mkdir(parents=True)
            for number in range(250):
                (folder / str(group) / f"{number}.jpg").touch()
        started_s = time.process_time()  # waiting for a busy machine is not counted
        assert workspace.datasets.register("d", folder).files == 5_000
        assert time.process_time() - started_s < 3  # a fiftieth of that


class TestCopy:
    def test_the_source_may_go(self, workspace: Workspace, photos: Path, tmp_path: Path) -> None:
        known = names(photos)
        made = workspace.datasets.register("d", photos, copy=True)
        photos.rename(tmp_path / "gone")
        assert names(made.path_or_unpacked()) == known
        assert names(made.download(tmp_path / "out")) == known
        assert (made.kind, made.files) == ("copy", 5)

    def test_a_single_class_folder_stays_one(self, workspace: Workspace, photos: Path) -> None:
        for path in (photos / "dogs").iterdir():
            path.unlink()
        (photos / "dogs").rmdir()
        made = workspace.datasets.register("d", photos, copy=True)
        with ImageDirectory.open(made.path_or_unpacked()) as directory:
            assert directory.categories == ["cats"]

    def test_the_same_content_stays_a_version(self, workspace: Workspace, photos: Path) -> None:
        workspace.datasets.register("d", photos, copy=True)
        os.utime(photos / "cats" / "1.jpg", (1, 1))
        assert workspace.datasets.register("d", photos, copy=True).version == 1
        assert workspace.datasets.register("d", photos).version == 2

    def test_an_image_directory_brings_its_images(
        self, workspace: Workspace, photos: Path, tmp_path: Path
    ) -> None:
        convert(photos, tmp_path / "images")
        made = workspace.datasets.register("d", tmp_path / "images", copy=True)
        photos.rename(tmp_path / "gone")
        directory = ImageDirectory.load(made.path_or_unpacked())
        with directory.reader() as reader:
            assert len([reader.read(entry) for entry in directory.entries()]) == 5

    def test_artifacts_elsewhere_mean_a_copy(self, photos: Path, tmp_path: Path) -> None:
        away = Workspace.create("away", tmp_path / "away", artifacts="memory://registered-datasets")
        try:
            assert away.datasets.register("d", photos).kind == "copy"
        finally:
            away.close()


class TestSources:
    def test_an_archive(self, workspace: Workspace, photos: Path, tmp_path: Path) -> None:
        archive = tmp_path / "photos.zip"
        with zipfile.ZipFile(archive, "w") as file:
            for name in names(photos):
                file.write(photos / name, name)
        for copy in (False, True):
            made = workspace.datasets.register("d", archive, copy=copy)
            assert (made.source["form"], made.files) == ("archive", 1)
            with ImageDirectory.open(made.path_or_unpacked()) as directory:
                assert directory.categories == ["cats", "dogs"]

    def test_an_archive_that_is_none(self, workspace: Workspace, tmp_path: Path) -> None:
        (tmp_path / "a.tar.gz").write_text("no")
        with pytest.raises(errors.InvalidArchive):
            workspace.datasets.register("d", tmp_path / "a.tar.gz")

    @pytest.mark.parametrize("copy", [False, True])
    def test_a_pattern(
        self, workspace: Workspace, photos: Path, tmp_path: Path, copy: bool
    ) -> None:
        made = workspace.datasets.register("d", f"{photos}/**/1.jpg", copy=copy)
        assert (made.files, made.source["form"]) == (2, "pattern")
        with ImageDirectory.open(made.path_or_unpacked()) as directory:
            assert directory.info.counts.categories == {"cats": 1, "dogs": 1}
        assert names(made.download(tmp_path / "out")) == ["cats/1.jpg", "dogs/1.jpg"]

    def test_a_pattern_notices_another_file(
        self, workspace: Workspace, photos: Path, picture: Callable[..., Path]
    ) -> None:
        made = workspace.datasets.register("d", f"{photos}/*/1.jpg")
        made.path_or_unpacked()
        picture(photos / "birds" / "1.jpg")
        with pytest.raises(errors.InvalidDataset, match="3 files"):
            made.path_or_unpacked()

    def test_a_name_with_brackets_is_a_path(self, workspace: Workspace, tmp_path: Path) -> None:
        (tmp_path / "a[1]").mkdir()
        (tmp_path / "a[1]" / "x.csv").write_text("1,2")
        made = workspace.datasets.register("d", tmp_path / "a[1]")
        assert made.source["form"] == "folder"

    def test_a_pattern_below_a_name_with_brackets(
        self,
        workspace: Workspace,
        photos: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        photos.rename(tmp_path / "a[1]")
        monkeypatch.chdir(tmp_path / "a[1]")
        for source in ("*/1.jpg", f"{tmp_path}/a[1]/*/1.jpg", tmp_path / "a[1]/cats/../*/1.jpg"):
            made = workspace.datasets.register("d", source)
            assert (made.source["form"], made.files) == ("pattern", 2)
        with pytest.raises(errors.UnreadableFile, match="nothing there"):
            workspace.datasets.register("d", "missing.jpg")

    @pytest.mark.parametrize("copy", [False, True])
    def test_a_pattern_stays_in_its_folder(
        self, workspace: Workspace, photos: Path, tmp_path: Path, copy: bool
    ) -> None:
        (tmp_path / "secret.txt").write_text("x")
        with pytest.raises(
            errors.UnparsableValue, match=r"without '\.\.' behind its first wildcard"
        ):
            workspace.datasets.register("d", f"{photos}/*/../../secret.txt", copy=copy)
        made = workspace.datasets.register("d", f"{photos}/*/1.jpg")
        made.source["pattern"] = "*/../../secret.txt"  # as an older program registered it
        with pytest.raises(errors.UnparsableValue):
            made.download(tmp_path / "out")
        assert names(tmp_path / "out") == []

    def test_a_pattern_takes_no_workspace(
        self, workspace: Workspace, photos: Path, tmp_path: Path
    ) -> None:
        Workspace.create("inside", photos).close()
        (photos / ".hidden").mkdir()
        (photos / ".hidden/1.txt").write_text("1")
        made = workspace.datasets.register("d", f"{photos}/.*/*", copy=True)
        made.download(tmp_path / "out")
        assert names(tmp_path / "out") == [".hidden/1.txt"]

    def test_a_table(self, workspace: Workspace, tmp_path: Path) -> None:
        (tmp_path / "x.csv").write_text("1,2")
        made = workspace.datasets.register("d", tmp_path / "x.csv", copy=True)
        assert made.path_or_unpacked().read_text() == "1,2"
        assert made.download(tmp_path / "out") == tmp_path / "out" / "x.csv"

    @pytest.mark.parametrize("source", ["empty", "empty/*.jpg"])
    @pytest.mark.parametrize("copy", [False, True])
    def test_no_files(self, workspace: Workspace, tmp_path: Path, source: str, copy: bool) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(errors.EmptyInput, match="at least one file"):
            workspace.datasets.register("d", tmp_path / source, copy=copy)
        assert workspace.datasets.list() == []

    def test_nothing_there(self, workspace: Workspace, tmp_path: Path) -> None:
        with pytest.raises(errors.UnreadableFile, match="nothing there"):
            workspace.datasets.register("d", tmp_path / "missing")

    def test_a_file_that_may_not_be_read(self, workspace: Workspace, photos: Path) -> None:
        (photos / "cats" / "1.jpg").chmod(0)
        program = [sys.executable, "-m", "calotype", "-w", workspace.location]
        if os.geteuid() == 0:  # who may read everything, unless that right is given up
            rights = "-dac_override,-dac_read_search"
            program = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}", *program]
        for more in ([], ["--copy"]):
            ended = subprocess.run(
                [*program, "dataset", "register", "d", photos, *more],
                env={**os.environ, "PYTHONPATH": str(SOURCES)},
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            assert ended.returncode == 1
            assert ended.stderr.startswith("error 0048: ")
            assert "cats/1.jpg" in ended.stderr
        assert workspace.datasets.list() == []

    @pytest.mark.parametrize("name", ["", "a b", "ä", "dataset:a"])
    def test_wrong_names(self, workspace: Workspace, photos: Path, name: str) -> None:
        with pytest.raises(errors.UnparsableValue, match="1 to 255 letters"):
            workspace.datasets.register(name, photos)


class TestRecords:
    def test_list_update_delete(self, workspace: Workspace, photos: Path) -> None:
        datasets = workspace.datasets
        first = datasets.register("a", photos, tags={"k": "1"})
        datasets.register("a", photos, create_new_version=True)
        datasets.register("b", photos / "cats", tags={"k": "2"})
        assert [one.id for one in datasets.list()] == ["a:2", "a:1", "b:1"]
        assert [one.id for one in datasets.list(latest=True)] == ["a:2", "b:1"]
        assert [one.id for one in datasets.list(tags=[("k", "1")])] == ["a:1"]
        changed = datasets.update(
            first, add_tags={"n": "3"}, remove_tags=("k", "n"), description="x"
        )
        assert datasets.get("a", 1) == changed
        assert (changed.tags, changed.description) == ({"n": "3"}, "x")
        again = datasets.update(first, add_tags={"n": "4"}, remove_tags="n")
        assert again.tags == {"n": "4"}  # what goes, goes first
        datasets.delete(datasets.get("a"))
        assert datasets.get("a").version == 1
        assert datasets.register("a", photos, create_new_version=True).version == 3
        with pytest.raises(errors.NotFound, match="version 2"):
            datasets.find("a:2")
        datasets.delete(gone := datasets.register("c", photos))
        with pytest.raises(errors.NotFound):
            datasets.delete(gone)
        assert photos.is_dir()


def test_gc_removes_unpacked_files_of_what_is_deleted(workspace: Workspace, photos: Path) -> None:
    copy = workspace.datasets.register("copy", photos, copy=True)
    pattern = workspace.datasets.register("pattern", f"{photos}/*/1.jpg")
    places = [copy.path_or_unpacked(), pattern.path_or_unpacked()]
    left = workspace.place.root / "unpacked" / ".left"  # by a process that was killed
    left.mkdir()
    assert collect(workspace, older_than_s=0).folders == 1
    assert all(place.is_dir() for place in places)
    workspace.datasets.delete(copy)
    workspace.datasets.delete(pattern)
    assert collect(workspace, older_than_s=3600).folders == 0
    assert collect(workspace, older_than_s=0).folders == 2
    assert photos.is_dir()
