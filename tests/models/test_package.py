"""The `.calotype` file: an archive of a model folder, from people who may mean harm."""

from __future__ import annotations

import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from small_networks import save_model

from calotype import errors
from calotype.models.image_model import ImageModel


def pack(folder: Path, archive: Path, *, inside: str = "") -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as package:
        for path in folder.iterdir():
            package.write(path, inside + path.name)
    return archive


@pytest.fixture
def model(tmp_path: Path) -> ImageModel:
    return save_model(tmp_path / "model")


@pytest.fixture
def archive(model: ImageModel, tmp_path: Path) -> Path:
    return pack(model.path, tmp_path / "model.calotype")


def test_an_archive_is_the_model(model: ImageModel, archive: Path) -> None:
    loaded = ImageModel.load(archive)
    assert loaded.digest == model.digest
    loaded.verify()


def test_an_archive_of_the_folder_itself_is_the_model_too(
    model: ImageModel, tmp_path: Path
) -> None:
    made = shutil.make_archive(str(tmp_path / "whole"), "zip", tmp_path, "model")
    archive = Path(made).rename(tmp_path / "whole.calotype")
    assert ImageModel.load(archive).digest == model.digest


def test_it_is_unpacked_once_into_the_cache(archive: Path, cache: Path) -> None:
    first = ImageModel.load(archive)
    stamp = first.path.stat().st_mtime_ns
    assert first.path.is_relative_to(cache)
    assert ImageModel.load(archive).path.stat().st_mtime_ns == stamp
    assert [path.name for path in (cache / "models").iterdir()] == [first.path.name]


def test_many_may_open_it_at_once(archive: Path, cache: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(ImageModel.load, [archive] * 24))
    assert len({one.digest for one in loaded}) == 1
    assert len(list((cache / "models").iterdir())) == 1


@pytest.mark.parametrize(
    "name",
    ["../escaped", "/escaped", "a/../../escaped", "..", "sub/deep.txt", "C:\\escaped", "\\escaped"],
)
def test_a_member_that_leaves_the_folder_is_refused(
    archive: Path, cache: Path, tmp_path: Path, name: str
) -> None:
    with zipfile.ZipFile(archive, "a") as package:
        member = zipfile.ZipInfo("x")
        member.filename = name
        package.writestr(member, "out")
    with pytest.raises(errors.CorruptModel) as caught:
        ImageModel.load(archive)
    assert caught.value.number == 82
    assert caught.value.where == str(archive)
    assert not list((cache / "models").iterdir())
    assert not list(tmp_path.rglob("*escaped*"))


def test_an_archive_without_a_description_is_no_model(tmp_path: Path, cache: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.calotype", "w") as package:
        package.writestr("model.onnx", "")
    with pytest.raises(errors.InvalidModel, match=r"without model\.json") as caught:
        ImageModel.load(tmp_path / "x.calotype")
    assert caught.value.number == 159
    assert not list((cache / "models").iterdir())


def test_an_archive_that_grows_a_hundredfold_is_refused(archive: Path, cache: Path) -> None:
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as package:
        package.writestr("zeros", bytes(64 << 20))
    assert archive.stat().st_size < 1 << 20
    with pytest.raises(errors.CorruptModel, match="bytes together"):
        ImageModel.load(archive)
    assert not list((cache / "models").iterdir())


def test_an_archive_that_lies_about_a_size_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "x.calotype"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("model.json", bytes(32 << 20))
    data = archive.read_bytes().replace((32 << 20).to_bytes(4, "little"), b"\x10\0\0\0")
    archive.write_bytes(data)
    with pytest.raises(errors.CorruptModel):
        ImageModel.load(archive)


def test_an_archive_of_too_many_files_is_refused(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a") as package:
        for index in range(200):
            package.writestr(str(index), "")
    with pytest.raises(errors.CorruptModel, match="100 files"):
        ImageModel.load(archive)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_are_refused(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "x.calotype", "w", method) as package:
        package.writestr("model.json", "{}" * 100)
    with pytest.raises(errors.CorruptModel, match="another method"):
        ImageModel.load(tmp_path / "x.calotype")


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "x.calotype"
    with zipfile.ZipFile(archive, "w") as package:
        package.writestr("model.json", "{}")
    data = bytearray(archive.read_bytes())
    data[6] |= 1  # the encryption bit, in both headers
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(errors.CorruptModel, match="encrypted"):
        ImageModel.load(archive)


@pytest.mark.parametrize("at", [0.2, 0.5, 0.9])
def test_damage_is_noticed(archive: Path, at: float) -> None:
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * at)])
    with pytest.raises(errors.CorruptModel):
        ImageModel.load(archive)


def test_something_else_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.calotype").write_bytes(b"")
    with pytest.raises(errors.CorruptModel, match="zip"):
        ImageModel.load(tmp_path / "x.calotype")


def test_an_unwritable_cache_is_said_to_be_one(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CALOTYPE_CACHE", str(tmp_path / "file"))
    with pytest.raises(errors.CannotWrite):
        ImageModel.load(archive)


def test_a_changed_member_is_noticed_by_its_digest(model: ImageModel, tmp_path: Path) -> None:
    (model.path / "model.onnx").write_bytes(b"other")
    archive = pack(model.path, tmp_path / "changed.calotype")
    with pytest.raises(errors.CorruptModel, match=r"model\.onnx"):
        ImageModel.load(archive).verify()
