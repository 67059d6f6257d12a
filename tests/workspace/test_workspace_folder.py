"""Making, finding and opening workspaces, in good folders and in bad ones."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from postgres_server import PostgresServer

from calotype import errors
from calotype.workspace import location, store_url
from calotype.workspace.database import Database
from calotype.workspace.location import Location
from calotype.workspace.opening import open_workspace
from calotype.workspace.runs import Run
from calotype.workspace.workspace import Workspace

ODD = "ein Ordner, größer & 100% #1?"


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder without a workspace, as a user without one; return the data folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv(location.VARIABLE, raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "data/calotype"


def test_a_workspace_knows_its_name_and_place(tmp_path: Path) -> None:
    made = Workspace.create("flowers", tmp_path / ODD)
    assert (made.name, made.location) == ("flowers", str(tmp_path / ODD / ".calotype"))
    run = made.runs.add(Run("test", "x", "Queued"))
    (tmp_path / "file").write_text("content")
    tree = made.artifacts.put(tmp_path / "file")
    made.close()
    opened = Workspace.from_config(tmp_path / ODD)
    assert opened.runs.get(run.id) == run
    assert opened.artifacts.check(tree.digest) == []
    assert sorted(path.name for path in opened.place.root.iterdir()) == [
        ".gitignore",
        "artifacts",
        "making.lock",
        "workspace.db",
        "workspace.db-shm",
        "workspace.db-wal",
        "workspace.json",
        "workspace.key",
    ]
    opened.close()


def test_a_workspace_can_be_moved(tmp_path: Path) -> None:
    made = Workspace.create("flowers", tmp_path / "a")
    key = made.management_key
    made.close()
    shutil.move(tmp_path / "a", tmp_path / "b")
    moved = Workspace.from_config(tmp_path / "b")
    assert (moved.name, moved.management_key) == ("flowers", key)
    moved.close()


def test_a_second_one_is_refused_or_given(tmp_path: Path) -> None:
    made = Workspace.create("flowers", tmp_path)
    with pytest.raises(errors.AlreadyExists) as caught:
        Workspace.create("flowers", tmp_path)
    assert caught.value.number == 57
    again = Workspace.create("other", tmp_path, exist_ok=True)
    assert (again.name, again.management_key) == ("flowers", made.management_key)
    for one in (made, again):
        one.close()


@pytest.mark.parametrize("name", ["", "a b", "größe", "a/b", "a" * 256, "a.b", "a\n"])
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.UnparsableValue, match="letters, digits, dashes and underscores"):
        Workspace.create(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_get_wants_the_right_name(tmp_path: Path) -> None:
    Workspace.create("flowers", tmp_path).close()
    Workspace.get("flowers", tmp_path).close()
    with pytest.raises(errors.NotFound, match="'flowers'"):
        Workspace.get("birds", tmp_path)


def test_many_threads_make_one_workspace(tmp_path: Path) -> None:
    keys: list[str] = []

    def make() -> None:
        made = Workspace.create("flowers", tmp_path, exist_ok=True)
        keys.append(made.management_key)
        made.close()

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 6
    assert len(set(keys)) == 1


def test_the_workspace_meant_is_the_given_the_variables_the_nearest_the_users(
    nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {name: tmp_path / name for name in ("given", "variable", "nearest")}
    with pytest.raises(errors.NotFound, match="calotype workspace create"):
        open_workspace()
    own = open_workspace(make=True)
    assert (own.name, own.place.root) == ("default", nowhere / ".calotype")
    own.close()
    for name, place in places.items():
        Workspace.create(name, place).close()
    (places["nearest"] / "deep/er").mkdir(parents=True)
    monkeypatch.chdir(places["nearest"] / "deep/er")
    assert name_of(None) == "nearest"
    monkeypatch.setenv(location.VARIABLE, str(places["variable"]))
    assert name_of(None) == "variable"
    assert name_of(str(places["given"])) == "given"
    assert name_of((places["given"] / ".calotype").as_uri()) == "given"


def name_of(given: str | None) -> str:
    opened = open_workspace(given)
    opened.close()
    return opened.name


@pytest.mark.usefixtures("nowhere")
def test_a_named_place_is_not_made_by_itself(tmp_path: Path) -> None:
    with pytest.raises(errors.NotFound):
        open_workspace(str(tmp_path / "absent"), make=True)
    assert not (tmp_path / "absent").exists()


def test_secrets_are_for_the_owner_only(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        made = Workspace.create("flowers", tmp_path)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(made.place.root.stat().st_mode) == 0o700
    for name in ("workspace.key", "workspace.json", "workspace.db", "workspace.db-wal"):
        assert stat.S_IMODE((made.place.root / name).stat().st_mode) == 0o600
    assert len(made.management_key) >= 32
    database = (made.place.root / "workspace.db").read_bytes()
    assert made.management_key.encode() not in database
    made.close()


def damage_configuration(root: Path) -> None:
    (root / "workspace.json").write_text('{"database": ')


def damage_database(root: Path) -> None:
    (root / "workspace.db").write_bytes(b"This is no database. " * 1000)


def cut_database(root: Path) -> None:
    content = (root / "workspace.db").read_bytes()
    (root / "workspace.db").write_bytes(content[: len(content) // 2])


def remove_database(root: Path) -> None:
    (root / "workspace.db").unlink()


@pytest.mark.parametrize(
    "damage", [damage_configuration, damage_database, cut_database, remove_database]
)
def test_damage_has_its_number(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    made = Workspace.create("flowers", tmp_path)
    made.close()
    before = sorted(path.name for path in made.place.root.iterdir())
    damage(made.place.root)
    with pytest.raises(errors.CorruptWorkspace) as caught:
        Workspace.from_config(tmp_path)
    assert caught.value.number == 2007
    assert caught.value.action
    assert str(made.place.root) in caught.value.where
    if damage is remove_database:  # none was made in its place
        assert before != sorted(path.name for path in made.place.root.iterdir())


def test_without_the_key_file_secrets_stay_shut_and_the_rest_works(workspace: Workspace) -> None:
    workspace.place.key_file.unlink()
    assert workspace.name == "tests"
    with pytest.raises(errors.CorruptWorkspace, match="key file"):
        assert workspace.management_key
    workspace.key_file.make()
    with pytest.raises(errors.CorruptWorkspace, match="that this key file opens"):
        assert workspace.management_key
    with pytest.raises(errors.CorruptWorkspace, match="that this key file opens"):
        workspace.key_file.seal({"password": "what nobody would ever see again"})


READ = """
import sys
from calotype import errors
from calotype.workspace.runs import Run
from calotype.workspace.workspace import Workspace
opened = Workspace.from_config(sys.argv[1])
print(opened.name, len(opened.runs.list()))
try:
    opened.runs.add(Run("test", "x", "Queued"))
except errors.CannotWrite as error:
    print(error.number)
try:
    opened.artifacts.put(__import__("pathlib").Path(sys.argv[2]))
except errors.CannotWrite as error:
    print(error.number)
opened.close()
"""


def as_owner_without_privileges() -> list[str]:
    """Return what starts a program for which the modes of files hold, even for root."""
    if os.geteuid() != 0:
        return []
    lost = "-dac_override,-dac_read_search"
    return ["setpriv", f"--inh-caps={lost}", f"--bounding-set={lost}"]


def test_a_read_only_folder_can_be_read(workspace: Workspace, tmp_path: Path) -> None:
    workspace.runs.add(Run("test", "x", "Queued"))
    (tmp_path / "file").write_text("content")
    workspace.artifacts.put(tmp_path / "file")
    (tmp_path / "other").write_text("other content")
    workspace.close()
    root = workspace.place.root
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for path in (root / "workspace.db", *folders):
        path.chmod(0o555)
    try:
        read = [sys.executable, "-W", "error", "-c", READ, root, tmp_path / "other"]
        command = [*as_owner_without_privileges(), *read]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (run.stdout, run.stderr) == ("tests 1\n46\n46\n", "")
    finally:
        for path in folders:
            path.chmod(0o755)


def test_a_workspace_cannot_be_made_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.CannotWrite):
        Workspace.create("flowers", tmp_path / "file")


FILL = """
import resource, signal, sys
from pathlib import Path
from calotype import errors
from calotype.workspace.runs import Run
from calotype.workspace.workspace import Workspace
opened = Workspace.from_config(sys.argv[1])
opened.runs.add(Run("test", "kept", "Queued"))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
room = (opened.place.root / "workspace.db-wal").stat().st_size + 100_000
resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
big = Run("test", "x", "Queued", inputs={"x": "x" * 400_000})
for act in (
    lambda: opened.runs.add(big),
    lambda: opened.models.register(Path(sys.argv[2]), "big"),
):
    try:
        act()
    except errors.CannotWrite as error:
        print(error.number)
print(len(opened.models.list()), len(opened.runs.list()), opened.runs.list(subject="kept")[0].state)
opened.close()
"""


def test_a_full_disk_leaves_nothing_half(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(os.urandom(8_000_000))
    command = [sys.executable, "-W", "error", "-c", FILL, workspace.location, tmp_path / "big"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("46\n46\n0 1 Queued\n", "")
    artifacts = workspace.place.root / "artifacts"
    assert [path for path in artifacts.rglob("*") if path.is_file()] == []
    assert workspace.models.register(tmp_path / "big", "big").version == 1
    assert workspace.database.problems() == []


def test_a_workspace_on_a_server_is_shared(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    url = postgres.new_database()
    with_password = url.replace("postgres@", "postgres:geheim@")
    store = (tmp_path / "store").as_uri()
    made = Workspace.create("flowers", tmp_path / "a", database=url, artifacts=store)
    with pytest.raises(errors.AlreadyExists, match="the workspace 'flowers'"):
        Workspace.create("birds", tmp_path / "b", database=url)
    with pytest.raises(errors.NotSupported, match="without a password") as caught:
        open_workspace(with_password)
    assert "geheim" not in str(caught.value)
    mask = os.umask(0)
    try:
        there = open_workspace(url)
    finally:
        os.umask(mask)
    assert there.place.root != made.place.root
    assert stat.S_IMODE(there.place.root.stat().st_mode) == 0o700
    assert (there.name, there.place.artifacts) == ("flowers", store)
    run = there.runs.add(Run("test", "x", "Queued"))
    assert made.runs.get(run.id) == run
    with pytest.raises(errors.CorruptWorkspace, match="key file"):
        assert there.management_key
    shutil.copy(made.place.key_file, there.place.key_file)
    assert there.management_key == made.management_key
    for one in (made, there):
        one.close()


def test_a_server_without_a_workspace_has_none(postgres: PostgresServer, tmp_path: Path) -> None:
    with pytest.raises(errors.NotFound, match="workspace create"):
        Workspace.join(postgres.new_database(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_artifacts_in_a_folder_of_the_maker_are_not_shared(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    url = postgres.new_database()
    Workspace.create("flowers", tmp_path / "a", database=url).close()
    with pytest.raises(errors.NotSupported, match="--artifacts"):
        Workspace.join(url, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_server_that_does_not_answer_is_told_without_its_password(tmp_path: Path) -> None:
    url = f"postgresql://me:geheim@/x?host={tmp_path}"
    with pytest.raises(errors.OperationFailed) as caught:
        Database(url).open()  # of a configuration that somebody has written
    assert "me:***@/x" in caught.value.where
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("url", ["mysql://a:geheim@b/c", "oracle:", "nonsense"])
def test_other_databases_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(errors.NotSupported, match="postgresql://") as caught:
        Workspace.create("flowers", tmp_path, database=url)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("s3://id:sesame@bucket/flowers", "s3://bucket/flowers"),
        ("s3://id:ses/ame+7/==@bucket/flowers", "s3://bucket/flowers"),
        ("s3://id:123/ses@bucket/flowers", "s3://bucket/flowers"),
        ("gs://a.b:123/ses@bucket/flowers", "gs://bucket/flowers"),
        ("sftp://id:123/ses@bucket/flowers", "sftp://bucket/flowers"),
        ("s3://id:sesame@[bucket/flowers", "s3://[bucket/flowers"),
        ("s3://bucket/flowers?AWS_SECRET_ACCESS_KEY=sesame", "s3://bucket/flowers"),
        ("https://bucket.host/flowers?X-Amz-Signature=sesame", "https://bucket.host/flowers"),
        ("simplecache::sftp://me:sesame@host:22/flowers", "simplecache::sftp://host:22/flowers"),
    ],
)
def test_secrets_of_a_store_are_not_written_to_a_file(tmp_path: Path, url: str, where: str) -> None:
    with pytest.raises(errors.NotSupported, match="AWS_PROFILE") as made:
        Workspace.create("flowers", tmp_path, artifacts=url)
    assert made.value.where == where
    assert "ses" not in str(made.value)
    assert list(tmp_path.iterdir()) == []
    # Somebody may have written it by hand.
    assert Location.of_folder(tmp_path, artifacts=url).shown_artifacts == where


@pytest.mark.parametrize(
    "url",
    [
        "memory://flowers",
        "sftp://me@host:2222/of@2024/a:b",
        "sftp://host.example:2222/of@2024",
        "abfs://container@account.dfs.core.windows.net/x",
        "s3://bucket/a?versionId=7",
    ],
)
def test_a_store_whose_url_has_no_secret_is_taken(url: str) -> None:
    store_url.refuse_secrets(url)
    assert store_url.shown(url) == url.partition("?")[0]


@pytest.mark.parametrize("url", ["s3://[bucket/x", "file://[bucket/x"])
def test_a_store_whose_url_is_none_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(errors.UnparsableValue, match="a folder or a URL"):
        Workspace.create("flowers", tmp_path, artifacts=url)
    assert list(tmp_path.iterdir()) == []


def test_the_url_of_something_else_is_no_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALOTYPE_WORKSPACE", "mysql://me:sesame@host/x")
    with pytest.raises(errors.NotSupported, match="expected a folder, or the URL") as caught:
        open_workspace()
    assert "sesame" not in str(caught.value)


def test_the_configuration_says_only_what_is_elsewhere(tmp_path: Path) -> None:
    place = Location.of_folder(tmp_path / ODD)
    assert place.to_document() == {"database": "", "artifacts": ""}
    away = Location.of_folder(tmp_path, artifacts="s3://bucket/x")
    assert away.to_document()["artifacts"] == away.shown_artifacts == "s3://bucket/x"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:open-sesame@127.0.0.1:1/flowers",
        "postgresql+psycopg://user@127.0.0.1:1/flowers?password=open-sesame",
    ],
)
def test_a_password_is_not_written_to_a_file(tmp_path: Path, url: str) -> None:
    with pytest.raises(errors.NotSupported, match="PGPASSWORD") as made:
        Workspace.create("flowers", tmp_path / "made", database=url)
    with pytest.raises(errors.NotSupported, match="PGPASSWORD") as joined:
        Workspace.join(url, tmp_path / "joined")
    assert "sesame" not in f"{made.value}{joined.value}"
    assert list(tmp_path.iterdir()) == []
