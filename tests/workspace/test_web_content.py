"""Datasets of a URL: fetched once, within limits."""

from __future__ import annotations

import http.server
import io
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from calotype import errors
from calotype.images.image_directory import ImageDirectory
from calotype.workspace import content_names
from calotype.workspace.web_content import FetchLimits, fetch
from calotype.workspace.workspace import Workspace


class Site(http.server.ThreadingHTTPServer):
    """A web server of a few files.

    Attributes:
        content: by path.
        names: what files are called, by path: parameters of Content-Disposition.
        asked: the paths that were asked for.
        done: ends answers that wait.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.content: dict[str, bytes] = {}
        self.names: dict[str, str] = {}
        self.asked: list[str] = []
        self.done = threading.Event()

    def url(self, path: str) -> str:
        """Return the address of a path."""
        return f"http://127.0.0.1:{self.server_port}{path}"


class Page(http.server.BaseHTTPRequestHandler):
    """Answers."""

    server: Site  # pyright: ignore[reportIncompatibleVariableOverride] - always ours

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        if path.startswith("/to/"):
            self._begin(302, {"Location": f"{path[4:]}"})
        elif path == "/to-file":
            self._begin(302, {"Location": "file:///etc/hostname"})
        elif path == "/stalls":
            self._begin(200, {"Content-Length": "10"})
            self.server.done.wait()
        elif path == "/drips":
            self._begin(200, {})
            while not self.server.done.wait(0.02):
                try:
                    self.wfile.write(b"x")
                except OSError:
                    return
        elif path == "/short":
            self._begin(200, {"Content-Length": "10"})
            self.wfile.write(b"12345")
        elif path in self.server.content:
            body = self.server.content[path]
            said = self.server.names.get(path)
            named = {"Content-Disposition": f"attachment; {said}"} if said else {}
            self._begin(200, {"Content-Length": str(len(body)), **named})
            self.wfile.write(body)
        else:
            self._begin(404, {"Content-Length": "0"})

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@pytest.fixture
def site() -> Iterator[Site]:
    """Run a web server."""
    site = Site()
    thread = threading.Thread(target=site.serve_forever, args=(0.01,))
    thread.start()
    yield site
    site.done.set()
    site.shutdown()
    thread.join()
    site.server_close()


@pytest.fixture
def archive(photos: Path) -> bytes:
    """Make a zip of two categories."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for path in sorted(photos.rglob("*.*")):
            file.write(path, path.relative_to(photos))
    return content.getvalue()


def test_a_url_is_fetched_once(workspace: Workspace, site: Site, archive: bytes) -> None:
    site.content["/flowers.zip"] = archive
    made = workspace.datasets.register("d", site.url("/flowers.zip?signature=secret"))
    assert (made.kind, made.bytes) == ("url", len(archive))
    assert made.origin == site.url("/flowers.zip")
    with ImageDirectory.open(made.path_or_unpacked()) as directory:
        assert directory.categories == ["cats", "dogs"]
    made.path_or_unpacked()
    assert site.asked == ["/flowers.zip"]
    assert b"secret" not in (workspace.place.root / "workspace.db").read_bytes()


def test_the_same_content_stays_a_version(workspace: Workspace, site: Site) -> None:
    site.content["/a.csv"] = b"1,2"
    assert workspace.datasets.register("d", site.url("/a.csv")).version == 1
    assert workspace.datasets.register("d", site.url("/a.csv")).version == 1
    site.content["/a.csv"] = b"1,3"
    assert workspace.datasets.register("d", site.url("/a.csv")).version == 2


def test_redirects_are_followed_on_the_web_only(site: Site, tmp_path: Path) -> None:
    site.content["/a.csv"] = b"1,2"
    assert fetch(site.url("/to//a.csv"), tmp_path).read_bytes() == b"1,2"
    with pytest.raises(errors.UnreadableFile):
        fetch(site.url("/to-file"), tmp_path)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a%20b.csv", "a b.csv"),
        ("/x/..", "content"),
        ("/%2e%2e%2fpasswd", "passwd"),
        ("/a%5c%2e%2e%5cb", "a_.._b"),
    ],
)
def test_the_file_is_called_as_in_the_url(site: Site, tmp_path: Path, path: str, name: str) -> None:
    site.content[path] = b"1"
    written = fetch(site.url(path), tmp_path)
    assert written == tmp_path / name


@pytest.mark.parametrize(
    ("path", "said", "name"),
    [
        ("/download?id=3", "filename=pics.zip", "pics.zip"),
        ("/get.php", "filename*=UTF-8''gr%C3%BCn.zip", "grün.zip"),
        ("/get", "filename=../../a.zip", "a.zip"),
        ("/download?id=3", "filename=download", "download.zip"),
        ("/download?id=3", "", "download.zip"),
        ("/v1.2", "", "v1.2.zip"),
        ("/", "", "content.zip"),
        ("/to//cdn/pics.zip", "", "pics.zip"),
        ("/to//cdn/3f9a", "", "3f9a.zip"),
        ("/weights.npz", "", "weights.npz"),
        ("/get", "filename=weights.PT", "weights.PT"),
        ("/download.php?id=3", "", "download.php.zip"),
        ("/get", "filename=photos.v2", "photos.v2.zip"),
    ],
)
def test_an_archive_is_known_whatever_its_address(
    site: Site, tmp_path: Path, archive: bytes, path: str, said: str, name: str
) -> None:
    place = path.partition("?")[0].removeprefix("/to/")
    site.content[place] = archive
    site.names[place] = said
    assert fetch(site.url(path), tmp_path) == tmp_path / name


def test_a_name_that_is_no_text_becomes_one(tmp_path: Path) -> None:
    (tmp_path / "content").write_bytes(b"1,2")
    assert content_names.choose(tmp_path / "content", None, "http://a/b\udcff.csv") == "b?.csv"


def test_an_archive_without_a_suffix_is_checked(
    workspace: Workspace, site: Site, archive: bytes
) -> None:
    site.content["/redir"] = archive
    made = workspace.datasets.register("d", site.url("/redir"))
    assert made.source["form"] == "archive"
    with ImageDirectory.open(made.path_or_unpacked()) as directory:
        assert directory.categories == ["cats", "dogs"]
    site.content["/redir"] = archive[:-100]
    with pytest.raises(errors.InvalidArchive):
        workspace.datasets.register("d", site.url("/redir"))


@pytest.mark.parametrize(("path", "got"), [("/missing", "404"), ("/short", "5 of 10 bytes")])
def test_what_cannot_be_had(site: Site, tmp_path: Path, path: str, got: str) -> None:
    with pytest.raises(errors.UnreadableFile, match=got):
        fetch(site.url(path), tmp_path)


def test_nothing_comes_any_more(site: Site, tmp_path: Path) -> None:
    with pytest.raises(errors.UnreadableFile, match="timed out"):
        fetch(site.url("/stalls"), tmp_path, limits=FetchLimits(stall_s=0.3))


def test_nobody_listens(tmp_path: Path, site: Site) -> None:
    with pytest.raises(errors.UnreadableFile, match="refused"):
        fetch("http://127.0.0.1:1/a", tmp_path)


@pytest.mark.parametrize("path", ["/large", "/drips"])
def test_more_than_the_limit(site: Site, tmp_path: Path, path: str) -> None:
    site.content["/large"] = b"x" * 100
    with pytest.raises(errors.OperationFailed, match="at most 3 bytes"):
        fetch(site.url(path), tmp_path, limits=FetchLimits(max_bytes=3))


def test_longer_than_the_limit(site: Site, tmp_path: Path) -> None:
    """What drips never ends by itself, and never stalls."""
    with pytest.raises(errors.OperationFailed, match=r"within 0\.2 s"):
        fetch(site.url("/drips"), tmp_path, limits=FetchLimits(total_s=0.2))


@pytest.mark.parametrize("url", ["http://user:word@host/a", "http:///a", "http://host:x/a"])
def test_wrong_urls(tmp_path: Path, url: str) -> None:
    with pytest.raises(errors.UnparsableValue) as caught:
        fetch(url, tmp_path)
    assert "word" not in str(caught.value).replace("without a password", "")


def test_a_failed_fetch_leaves_nothing(workspace: Workspace, site: Site) -> None:
    unpacked = workspace.place.root / "unpacked"
    with pytest.raises(errors.UnreadableFile):
        workspace.datasets.register("d", site.url("/short"))
    assert list(unpacked.iterdir()) == []
    assert workspace.datasets.list() == []
