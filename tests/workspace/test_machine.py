"""Records belong to the machine whose folder runs them, whatever it is called today."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from calotype import errors
from calotype.workspace.location import Location
from calotype.workspace.machine import identity, is_here, require_here, shown

ELSEWHERE = "sqlite:////another/folder/workspace.db"  # as good as a server


def place(folder: Path, database: str = "") -> Location:
    found = Location.of_folder(folder, database=database)
    found.root.mkdir(parents=True, exist_ok=True)
    return found


def test_the_identity_stays_when_the_host_name_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = place(tmp_path, ELSEWHERE)
    name = identity(here)
    before = socket.gethostname()
    assert shown(name) == before
    assert name != before
    monkeypatch.setattr(socket, "gethostname", lambda: "renamed")
    assert identity(here) == name
    assert is_here(here, name)
    assert not is_here(here, before)


def test_two_folders_are_two_machines(tmp_path: Path) -> None:
    one, other = place(tmp_path / "one", ELSEWHERE), place(tmp_path / "other", ELSEWHERE)
    assert not is_here(one, identity(other))
    with pytest.raises(errors.NotSupported, match=f"it belongs to machine {socket.gethostname()}"):
        require_here(one, identity(other), what="service 'x'")


def test_what_a_folder_with_its_own_database_knows_is_here(tmp_path: Path) -> None:
    assert is_here(place(tmp_path), "what it was called before")


def test_all_who_ask_at_the_same_time_get_one_identity(tmp_path: Path) -> None:
    here = place(tmp_path)
    found: set[str] = set()
    threads = [threading.Thread(target=lambda: found.add(identity(here))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1
    assert [path.name for path in here.root.iterdir()] == ["machine.json"]


def test_a_damaged_identity_is_told(tmp_path: Path) -> None:
    here = place(tmp_path)
    (here.root / "machine.json").write_text("{")
    with pytest.raises(errors.CorruptWorkspace, match=r"machine\.json"):
        identity(here)
