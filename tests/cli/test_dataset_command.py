"""`calotype dataset` from the user's chair, and datasets as input of other commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from small_networks import save_model

from calotype.cli import terminal
from calotype.cli.main import main
from calotype.images.image_directory import ImageDirectory
from calotype.workspace.workspace import Workspace

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def calotype(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Give a function that runs the program in a workspace and returns exit code and streams."""
    Workspace.create("tests", tmp_path / "place").close()
    monkeypatch.setenv("CALOTYPE_WORKSPACE", str(tmp_path / "place"))

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["calotype", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        written = capsys.readouterr()
        return int(end.value.code or 0), written.out, written.err

    return call


def document(calotype: Call, *arguments: str | Path) -> Any:
    """Run a command and return what it printed as JSON."""
    code, out, err = calotype("-o", "json", *arguments)
    assert code == 0, err
    return json.loads(out)


def test_register_list_show_download_delete(calotype: Call, photos: Path, tmp_path: Path) -> None:
    made = document(
        calotype,
        *("dataset", "register", "flowers", photos, "--tag", "licence=CC=BY"),
        *("--description", "Two kinds"),
    )
    assert (made["id"], made["files"], made["tags"]) == ("flowers:1", 5, {"licence": "CC=BY"})
    assert document(calotype, "dataset", "register", "flowers", photos)["version"] == 1
    again = document(calotype, "dataset", "register", "flowers", photos, "--new-version", "--copy")
    assert (again["version"], again["kind"]) == (2, "copy")
    listed = document(calotype, "dataset", "list", "--tag", "licence")
    assert [one["id"] for one in listed] == ["flowers:1"]
    shown = document(
        calotype,
        "dataset",
        "show",
        "flowers",
        "--preview",
        tmp_path / "p.html",
        "--thumbnails",
        "1",
    )
    assert (tmp_path / "p.html").read_text().count("<img") == 2
    assert shown["preview"] == str(tmp_path / "p.html")
    out = document(calotype, "dataset", "download", "flowers:1", tmp_path / "out")
    assert out["path"] == str(tmp_path / "out")
    assert (tmp_path / "out" / "cats" / "1.jpg").is_file()
    assert document(calotype, "dataset", "delete", "flowers")["id"] == "flowers:2"
    assert [one["id"] for one in document(calotype, "dataset", "list")] == ["flowers:1"]


def test_tables_for_people(calotype: Call, photos: Path) -> None:
    assert "None." in calotype("dataset", "list")[1]
    assert "flowers:1" in calotype("dataset", "register", "flowers", photos, "--tag", "a=b")[1]
    assert "a=b" in calotype("dataset", "list")[1]
    assert "5 (" in calotype("dataset", "show", "flowers:1")[1]


def test_a_list_in_a_narrow_terminal(
    calotype: Call, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calotype("dataset", "register", "flowers", photos, "--tag", "licence=CC-BY", "--tag", "a=b")
    monkeypatch.setattr(
        terminal, "stdout_console", lambda: Console(width=60, highlight=False, file=sys.stdout)
    )
    lines = calotype("dataset", "list")[1].splitlines()
    assert lines[1].split() == ["name", "version", "files", "size", "tags"]
    assert lines[3].split()[:3] == ["flowers", "1", "5"]
    assert "licence=CC-BY, a=b" in lines[3]
    assert max(map(len, lines)) <= 60


def test_wrong_tags_are_a_usage_error(calotype: Call, photos: Path) -> None:
    code, _, err = calotype("dataset", "register", "d", photos, "--tag", "licence")
    assert code == 2
    assert "expected KEY=VALUE, not 'licence'" in err


def test_the_users_own_workspace_is_made_at_the_first_registration(
    calotype: Call, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CALOTYPE_WORKSPACE")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    code, _, err = calotype("dataset", "list")
    assert (code, "2004" in err) == (1, True)
    assert document(calotype, "dataset", "register", "d", photos)["id"] == "d:1"
    assert [one["id"] for one in document(calotype, "dataset", "list")] == ["d:1"]


class TestAsInput:
    def test_names_and_versions(self, calotype: Call, photos: Path, tmp_path: Path) -> None:
        calotype("dataset", "register", "flowers", photos / "cats")
        calotype("dataset", "register", "flowers", photos)
        images = [
            document(calotype, "convert", source, tmp_path / f"images{number}")["images"]
            for number, source in enumerate(
                ("flowers", "dataset:flowers", "flowers:2", "dataset:flowers:1", "flowers:1")
            )
        ]
        assert images == [5, 5, 5, 3, 3]

    def test_a_path_that_exists_wins(
        self, calotype: Call, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calotype("dataset", "register", "photos", photos / "cats")
        monkeypatch.chdir(tmp_path)
        assert document(calotype, "convert", "photos", "images")["images"] == 5
        assert document(calotype, "convert", "dataset:photos", "images2")["images"] == 3

    def test_an_unknown_name(self, calotype: Call, photos: Path, tmp_path: Path) -> None:
        calotype("dataset", "register", "flowers", photos)
        code, _, err = calotype("convert", "flower", tmp_path / "out")
        assert code == 1
        assert err.startswith("error 0018: flower: ")
        assert "Did you mean 'flowers'?" in err
        code, _, err = calotype("convert", "dataset:flower", tmp_path / "out")
        assert err.startswith("error 2004: ")
        assert "Did you mean 'flowers'?" in err
        code, _, err = calotype("convert", "flowers:9", tmp_path / "out")
        assert "versions 1" in err
        code, _, err = calotype("convert", "something.zip", tmp_path / "out")
        assert err.startswith("error 0018: ")
        assert "Check the path." in err

    def test_without_a_workspace_paths_are_all_there_is(
        self, calotype: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CALOTYPE_WORKSPACE", str(tmp_path / "missing"))
        assert calotype("convert", "flowers", tmp_path / "out")[2].startswith("error 0018: ")
        code, _, err = calotype("convert", "dataset:flowers", tmp_path / "out")
        assert (code, "workspace create" in err) == (1, True)

    def test_a_changed_reference_is_one_line(
        self, calotype: Call, photos: Path, tmp_path: Path
    ) -> None:
        calotype("dataset", "register", "flowers", photos)
        (photos / "cats" / "1.jpg").unlink()
        code, out, err = calotype("convert", "flowers", tmp_path / "out")
        assert (code, out) == (1, "")
        assert err.startswith("error 0018: dataset 'flowers:1'")
        assert err.count("\n") == 1

    def test_convert_registers_what_it_made_and_split_and_score_take_it(
        self, calotype: Call, photos: Path, tmp_path: Path
    ) -> None:
        calotype("dataset", "register", "flowers", photos, "--copy")
        made = document(
            calotype, "convert", "dataset:flowers", tmp_path / "images", "--register", "images"
        )
        assert made["registered"] == "images:1"
        both = document(
            calotype, "split", "images", tmp_path / "a", tmp_path / "b", "--fraction", "0.5"
        )
        assert sum(out["images"] for out in both["outputs"]) == 5
        save_model(tmp_path / "model", classes=("cats", "dogs"))
        calotype("model", "register", "-n", "net", "-p", tmp_path / "model")
        scored = document(
            calotype, *("score", "--model", "net:1", "--images", "images"), "--out", tmp_path / "s"
        )
        assert scored["counts"]["scored"] == 5
        calotype("dataset", "register", "scored", tmp_path / "s")
        evaluated = document(calotype, "evaluate", "scored", "--out", tmp_path / "report")
        assert "overall_accuracy" in evaluated

    def test_a_wrong_name_to_register_is_found_before_the_work(
        self, calotype: Call, photos: Path, tmp_path: Path
    ) -> None:
        code, _, err = calotype("convert", photos, tmp_path / "images", "--register", "a b")
        assert (code, "1 to 255 letters" in err) == (1, True)
        assert not (tmp_path / "images").exists()

    def test_minus_w_names_the_workspace(
        self, calotype: Call, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = tmp_path / "place"
        calotype("dataset", "register", "flowers", photos)
        monkeypatch.setenv("CALOTYPE_WORKSPACE", str(tmp_path / "missing"))
        for arguments in (
            ("-w", place, "convert", "flowers", tmp_path / "a"),
            ("convert", "flowers", tmp_path / "b", "-w", place),
        ):
            assert calotype(*arguments)[0] == 0
        assert len(ImageDirectory.load(tmp_path / "b")) == 5
