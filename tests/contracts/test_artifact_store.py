"""What every artifact store must do: in a folder, in memory, on S3."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest
from moto.server import ThreadedMotoServer

from calotype import errors
from calotype.workspace.artifacts import ArtifactStore, open_store
from calotype.workspace.blob_store import BlobStore

HOUR_S = 3600.0


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """Run a server that speaks S3; with credentials that only it takes."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "tests")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["file", "memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty store, of each kind in turn."""
    name = uuid4().hex
    if request.param == "file":
        return (tmp_path / "ein Lager, größer" / "artifacts").as_uri()
    if request.param == "memory":
        return f"memory://{name}/artifacts"
    endpoint: str = request.getfixturevalue("s3_server")
    with contextlib.closing(urlopen(Request(f"{endpoint}/{name}", method="PUT"))):  # noqa: S310 - ours
        return f"s3://{name}/some where/artifacts"


@pytest.fixture
def store(url: str) -> ArtifactStore:
    """Return an empty store."""
    return open_store(url)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with folders, an empty file, and names that are hard."""
    made = tmp_path / "source"
    contents = {
        "weights.bin": os.urandom(3_000_000),
        "score.py": b"def run(): ...",
        "deep/er/sämtliche Blüten.txt": "🌼".encode(),
        "deep/empty": b"",
        "deep/same.py": b"def run(): ...",
        "a'b\"c\\d #?%20.txt": b"hard",
    }
    for name, content in contents.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(content)
    return made


def files_of(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def blob_of(store: ArtifactStore, url: str, digest: str) -> None:
    """Put other bytes into a blob."""
    assert isinstance(store, BlobStore)
    place = Path(store.blob_path(digest))
    if url.startswith("file:"):
        place.write_bytes(b"other")
        return
    import fsspec

    fsspec.url_to_fs(url, use_listings_cache=False)[0].pipe_file(str(place), b"other")


def remove_blob(store: ArtifactStore, url: str, digest: str) -> None:
    assert isinstance(store, BlobStore)
    if url.startswith("file:"):
        Path(store.blob_path(digest)).unlink()
        return
    import fsspec

    fsspec.url_to_fs(url, use_listings_cache=False)[0].rm_file(store.blob_path(digest))


def test_a_folder_comes_back_as_it_was(store: ArtifactStore, folder: Path, tmp_path: Path) -> None:
    tree = store.put(folder)
    store.unpack(tree.digest, tmp_path / "out")
    assert files_of(tmp_path / "out") == files_of(folder)
    assert [entry.path for entry in tree.entries] == sorted(files_of(folder))
    assert tree.bytes == sum(len(content) for content in files_of(folder).values())
    assert store.check(tree.digest) == []


def test_one_file_is_a_tree_of_its_name(store: ArtifactStore, folder: Path) -> None:
    tree = store.put(folder / "score.py", below="models/x")
    (entry,) = tree.entries
    assert entry.path == "models/x/score.py"
    assert entry.digest == hashlib.sha256(b"def run(): ...").hexdigest()
    assert entry.bytes == 14


def test_the_same_files_have_the_same_digest_and_are_stored_once(
    store: ArtifactStore, folder: Path, tmp_path: Path
) -> None:
    first = store.put(folder)
    count, size = store.unused(set(), before=2e10)
    for name in reversed(sorted(files_of(folder))):  # made in another order
        (tmp_path / "again" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "again" / name).write_bytes((folder / name).read_bytes())
    assert store.put(tmp_path / "again") == first
    assert store.unused(set(), before=2e10) == (count, size)
    assert count == 6  # two of the six files are the same, and there is the list


def test_another_process_sees_what_was_stored(url: str, folder: Path) -> None:
    tree = open_store(url).put(folder)
    assert open_store(url).tree(tree.digest) == tree


def test_the_tree_of_an_empty_folder_is_empty(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    tree = store.put(tmp_path / "empty")
    assert tree.entries == ()
    store.unpack(tree.digest, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_unpacking_replaces_what_was_there(
    store: ArtifactStore, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old").touch()
    store.unpack(store.put(folder / "score.py").digest, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["score.py"]


def test_an_unknown_tree_is_not_found(store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(errors.NotFound):
        store.tree("0" * 64)
    with pytest.raises(errors.CorruptWorkspace):
        store.unpack("0" * 64, tmp_path / "out")
    assert len(store.check("0" * 64)) == 1


def test_a_file_is_no_tree(store: ArtifactStore, folder: Path) -> None:
    (entry,) = store.put(folder / "score.py").entries
    with pytest.raises(errors.CorruptWorkspace):
        store.tree(entry.digest)


def test_a_changed_blob_is_seen_and_never_unpacked(
    store: ArtifactStore, url: str, folder: Path, tmp_path: Path
) -> None:
    tree = store.put(folder)
    digest = next(entry.digest for entry in tree.entries if entry.path == "weights.bin")
    blob_of(store, url, digest)
    assert store.check(tree.digest) == ["'weights.bin' has changed since it was stored."]
    with pytest.raises(errors.CorruptWorkspace, match=r"weights\.bin"):
        store.unpack(tree.digest, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.glob(".out*")] == []
    store.put(folder)  # registering the files again mends them
    assert store.check(tree.digest) == []


def test_a_missing_blob_is_seen(store: ArtifactStore, url: str, folder: Path) -> None:
    tree = store.put(folder)
    digest = next(entry.digest for entry in tree.entries if entry.path == "weights.bin")
    remove_blob(store, url, digest)
    (problem,) = store.check(tree.digest)
    assert problem.startswith("'weights.bin' is missing")


def test_a_changed_list_is_seen(store: ArtifactStore, url: str, folder: Path) -> None:
    tree = store.put(folder)
    blob_of(store, url, tree.digest)
    assert len(store.check(tree.digest)) == 1
    with pytest.raises(errors.CorruptWorkspace):
        store.collect({tree.digest}, older_than_s=0)


def test_collecting_keeps_what_is_needed(
    store: ArtifactStore, folder: Path, tmp_path: Path
) -> None:
    kept, gone = store.put(folder / "deep"), store.put(folder)
    single = store.put(folder / "a'b\"c\\d #?%20.txt").entries[0].digest
    blobs, size = store.collect({kept.digest}, older_than_s=0, also={single, "f" * 64})
    assert blobs == 3  # the weights and two lists; score.py is the same as deep/same.py
    assert size > 3_000_000
    assert store.check(kept.digest) == []
    assert len(store.check(gone.digest)) == 1
    assert store.collect({kept.digest}, older_than_s=0, also={single}) == (0, 0)


def test_collecting_spares_what_is_young(store: ArtifactStore, folder: Path) -> None:
    tree = store.put(folder)
    assert store.collect(set(), older_than_s=HOUR_S) == (0, 0)
    assert store.check(tree.digest) == []


def test_nothing_is_collected_when_a_needed_tree_is_missing(
    store: ArtifactStore, folder: Path
) -> None:
    tree = store.put(folder)
    with pytest.raises(errors.NotFound):
        store.collect({"0" * 64}, older_than_s=0)
    assert store.check(tree.digest) == []


def test_a_file_that_is_not_there_is_an_error(store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(errors.UnreadableFile, match="no such file"):
        store.put(tmp_path / "none")
    (tmp_path / "source").mkdir()
    os.mkfifo(tmp_path / "source/pipe")
    with pytest.raises(errors.UnreadableFile, match="a pipe"):
        store.put(tmp_path / "source")


def test_links_are_followed_and_do_not_turn_in_circles(
    store: ArtifactStore, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links/file").symlink_to(folder / "score.py")
    (tmp_path / "links/folder").symlink_to(folder / "deep")
    (tmp_path / "links/self").symlink_to(tmp_path / "links")
    names = [entry.path for entry in store.put(tmp_path / "links").entries]
    assert names == [
        "file",
        "folder/empty",
        "folder/er/sämtliche Blüten.txt",
        "folder/same.py",
    ]


def test_many_threads_store_at_once(store: ArtifactStore, tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}").mkdir()
        for name in range(30):
            (tmp_path / f"{number}" / f"{name}").write_text(f"{name + number * 10}")
    found: list[list[str]] = []

    def put(number: int) -> None:
        found.append(store.check(store.put(tmp_path / f"{number}").digest))

    threads = [threading.Thread(target=put, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[], [], [], []]


def test_a_store_whose_package_is_missing_says_so() -> None:
    with pytest.raises(errors.MissingDependency) as caught:
        open_store("nonsense://somewhere")
    assert caught.value.number == 2001


def test_a_bucket_that_does_not_exist_is_an_error(s3_server: str, folder: Path) -> None:
    assert s3_server
    with pytest.raises(errors.CannotWrite, match="absent"):
        open_store("s3://absent/artifacts").put(folder)
