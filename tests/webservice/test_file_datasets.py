"""Datasets of files under the names of the retired SDK: where they are, and which."""

from __future__ import annotations

import functools
import gc
import http.server
import importlib
import os
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from calotype.azureml.core import Dataset, Workspace
from calotype.azureml.exceptions import UserErrorException, WebserviceException
from calotype.webservice.profile import bodies_of
from calotype.webservice.unsupported import NoMeaningHere
from calotype.webservice.unsupported_datasets import METHODS

NAMES = ["/1.txt", "/2.txt", "/deep/3.txt"]


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    made = Workspace.create("tests", tmp_path / "place")
    yield made
    made.close()


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Write three files."""
    for name in NAMES:
        path = tmp_path / "texts" / name[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "texts"


@pytest.fixture
def url(texts: Path) -> Iterator[str]:
    """Give the files on the web."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    site = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(texts))
    )
    thread = threading.Thread(target=site.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{site.server_port}"
    site.shutdown()
    thread.join()
    site.server_close()


def below(folder: str | Path) -> list[str]:
    """Return the files of a folder as `to_path` does."""
    found = (path.relative_to(folder) for path in Path(folder).rglob("*") if path.is_file())
    return sorted(f"/{path}" for path in found)


def one_file(texts: Path) -> str:
    return str(texts / "1.txt")


def pattern(texts: Path) -> str:
    return f"{texts}/**/[23].txt"


def archive(texts: Path) -> str:
    place = texts.parent / "texts.zip"
    with zipfile.ZipFile(place, "w") as file:
        file.write(texts / "1.txt", "1.txt")
    return str(place)


@pytest.mark.parametrize("kept", ["not registered", "reference", "copy"])
@pytest.mark.parametrize(
    ("source", "names"),
    [
        (str, NAMES),
        (one_file, ["/1.txt"]),
        (pattern, ["/2.txt", "/deep/3.txt"]),
        (archive, ["/texts.zip"]),
    ],
    ids=["folder", "file", "pattern", "archive"],
)
def test_a_dataset_has_its_files_and_no_others(
    ws: Workspace,
    texts: Path,
    source: Callable[[Path], str],
    names: list[str],
    kept: str,
) -> None:
    data = Dataset.File.from_files(source(texts))
    if names == NAMES:
        Workspace.create("inside", texts).close()  # no part of them
    (texts.parent / "beside.txt").write_text("not mine")
    if kept != "not registered":
        data = data.register(ws, "data", copy=kept == "copy")
    assert sorted(data.to_path()) == names
    mounted = data.mount()
    mounted.start()
    where = Path(mounted.mount_point)
    assert below(where) == names  # never the key file of a workspace
    mounted.stop()
    mounted.stop()
    assert where.exists() == (ws.location in str(where))
    mounted.start()
    assert set(names) <= set(below(mounted.mount_point))
    with mounted as again:
        assert Path(again.mount_point).is_dir()
    assert {"/1.txt", "/2.txt", "/deep/3.txt"} <= set(below(texts))  # links went, not files


def test_a_download_tells_what_it_wrote(ws: Workspace, texts: Path, tmp_path: Path) -> None:
    data = Dataset.File.from_files(f"{texts}/?.txt")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("before")
    wanted = [str(tmp_path / "out/1.txt"), str(tmp_path / "out/2.txt")]
    assert data.download(tmp_path / "out") == wanted  # not registered
    with pytest.raises(UserErrorException, match=r"1\.txt, 2\.txt"):
        data.download(tmp_path / "out")
    for copy in (False, True):
        registered = data.register(ws, "data", copy=copy)
        with pytest.warns(NoMeaningHere, match="ignore_not_found"):
            written = registered.download(tmp_path / "out", overwrite=True, ignore_not_found=True)
        assert written == wanted
    assert below(tmp_path / "out") == ["/1.txt", "/2.txt", "/mine.txt"]


def test_some_files(ws: Workspace, texts: Path, tmp_path: Path) -> None:
    data = Dataset.File.from_files(texts).register(ws, "data")
    first = data.take(2)
    assert (first.to_path(), first.name) == (["/1.txt", "/2.txt"], None)
    assert data.skip(1).take(1).to_path() == ["/2.txt"]
    assert [Path(one).name for one in first.download(tmp_path / "out")] == ["1.txt", "2.txt"]
    with first.mount() as mounted:
        assert below(mounted.mount_point) == ["/1.txt", "/2.txt"]
    assert below(first.path_or_unpacked()) == ["/1.txt", "/2.txt"]
    for seed in range(20):
        left, right = data.random_split(0.5, seed=seed)
        assert sorted(left.to_path() + right.to_path()) == NAMES
        assert data.take_sample(0.5, seed=seed).to_path() == left.to_path()
    assert {len(data.random_split(0.5, seed=seed)[0].to_path()) for seed in range(20)} > {1, 2}
    assert [len(one.to_path()) for one in data.random_split(1.0)] == [3, 0]
    with pytest.raises(UserErrorException, match="0 to 1"):
        data.random_split(50)
    with pytest.raises(UserErrorException, match="register that folder"):
        first.register(ws, "first")


def test_a_mount_point_is_there_without_a_name_for_what_gave_it(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    data = Dataset.File.from_files(f"{texts}/*.txt")
    places = [
        data.mount().mount_point,
        Dataset.File.from_files(texts / "1.txt").mount().mount_point,
        data.path_or_unpacked(),
        data.path_or_unpacked(),
    ]
    gc.collect()
    assert [len(below(place)) for place in places] == [2, 1, 2, 2]


def test_a_dataset_of_the_web(url: str, tmp_path: Path, texts: Path) -> None:
    data = Dataset.File.from_files(f"{url}/deep/3.txt")
    assert data.to_path() == ["/3.txt"]
    with data.mount() as mounted:
        assert Path(mounted.mount_point, "3.txt").read_text() == "/deep/3.txt"
    (texts / "deep/3.txt").write_text("another")  # it is fetched once
    (written,) = data.download(tmp_path / "out")
    assert Path(written).read_text() == "/deep/3.txt"
    assert data.take(1).path_or_unpacked().is_dir()
    with pytest.raises(UserErrorException, match="404"):
        Dataset.File.from_files(f"{url}/none").to_path()


def test_a_profile_takes_what_is_not_registered(ws: Workspace, texts: Path) -> None:
    (texts / "1.txt").write_text('{"data": 1}\n{"data": 2}\n')
    assert len(bodies_of(Dataset.File.from_files(texts / "1.txt"), ws)) == 2


def test_all_versions_go_at_once(ws: Workspace, texts: Path) -> None:
    data = Dataset.File.from_files(texts).register(ws, "data")
    data.register(ws, "data", create_new_version=True)
    Dataset.File.from_files(texts).register(ws, "other")
    assert data.update(description="new", tags={"a": "1"}).add_tags({"b": "2"}) is data
    assert (data.description, data.remove_tags(["a"]).tags) == ("new", {"b": "2"})
    assert data.add_tags({"bb": "3"}).remove_tags("bb").tags == {"b": "2"}
    data.unregister_all_versions()
    assert (data.name, list(ws.datasets)) == (None, ["other"])
    with pytest.raises(UserErrorException, match="register"):
        data.unregister_all_versions()
    assert below(texts) == NAMES


def test_what_datasets_do_no_more_is_told(texts: Path) -> None:
    data = Dataset.File.from_files(texts)
    for entry in METHODS:
        for owner in (Dataset, data):
            with pytest.raises(WebserviceException, match=f"no '{entry.name}'") as raised:
                getattr(owner, entry.name.removeprefix("Dataset."))("anything", at="all")
            assert (raised.value.number, raised.value.action) == (2006, entry.instead)
    for owner in (Dataset, data):
        with pytest.raises(AttributeError, match="'Dataset' has no attribute 'as_monut'"):
            getattr(owner, "as_monut")  # noqa: B009 - a name that is unknown to a type checker
    for use, told in (
        (lambda: data.partition_keys, r"no 'Dataset\.partition_keys'"),
        (lambda: Dataset.File.upload_directory(src_dir=".", target="x"), "no 'upload_directory'"),
    ):
        with pytest.raises(WebserviceException, match=told) as raised:
            use()
        assert raised.value.number == 2006
    with pytest.warns(NoMeaningHere, match="is_file"):
        Dataset.File.from_files(texts / "1.txt", is_file=True)
    with pytest.raises(TypeError, match="overwrit"):
        data.download(overwrit=True)  # pyright: ignore[reportCallIssue]


def test_old_names_of_the_classes(texts: Path) -> None:
    from calotype.azureml.data import FileDataset, TabularDataset
    from calotype.azureml.data.dataset_factory import FileDatasetFactory
    from calotype.azureml.data.file_dataset import FileDataset as Same

    assert isinstance(FileDatasetFactory.from_files(texts), FileDataset)
    assert FileDataset is Same is Dataset
    data_path = importlib.import_module("calotype.azureml.data.datapath").DataPath
    for absent in (TabularDataset, data_path):
        with pytest.raises(WebserviceException, match=r"azureml\.data"):
            absent("x")


def test_a_folder_with_brackets_is_a_folder(
    ws: Workspace, texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts.rename(texts.with_name("a[1]"))
    monkeypatch.chdir(texts.with_name("a[1]"))
    assert Dataset.File.from_files("*.txt").register(ws, "data").to_path() == ["/1.txt", "/2.txt"]
    for missing in ("none.txt", f"{os.getcwd()}/none.txt"):
        with pytest.raises(UserErrorException, match="nothing there"):
            Dataset.File.from_files(missing)
