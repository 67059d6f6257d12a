"""A source directory as a service gets it: whole, but for what is to stay at home."""

from __future__ import annotations

from pathlib import Path

import pytest

from calotype import errors
from calotype.hosting import source_folder
from calotype.hosting.ignored import IgnoreRules
from calotype.hosting.source_folder import inference_of, stored_anew
from calotype.workspace.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create("sources", tmp_path / "home")


def write(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n", encoding="utf-8")
    return folder


def paths(workspace: Workspace, digest: str) -> list[str]:
    return [entry.path for entry in workspace.artifacts.tree(digest).entries]


def test_a_directory_is_stored_without_what_no_service_needs(
    workspace: Workspace, tmp_path: Path
) -> None:
    folder = write(
        tmp_path / "source",
        "score.py",
        "package/module.py",
        "package/data.txt",
        "__pycache__/score.cpython-311.pyc",
        "package/__pycache__/module.pyc",
        ".git/HEAD",
        "venv/pyvenv.cfg",
        "venv/bin/python",
        ".calotype/workspace.json",
    )
    made = inference_of(workspace, entry_script="score.py", source_directory=folder)
    assert made.entry_script == "score.py"
    assert made.live_source == ""
    assert paths(workspace, made.source) == ["package/data.txt", "package/module.py", "score.py"]


def test_amlignore_goes_before_gitignore(workspace: Workspace, tmp_path: Path) -> None:
    folder = write(tmp_path / "source", "score.py", "a.csv", "b.txt")
    (folder / ".gitignore").write_text("*.txt\n")
    made = inference_of(workspace, entry_script="score.py", source_directory=folder)
    assert paths(workspace, made.source) == [".gitignore", "a.csv", "score.py"]
    (folder / ".amlignore").write_text("*.csv\n.*\n")
    made = inference_of(workspace, entry_script="score.py", source_directory=folder)
    assert paths(workspace, made.source) == ["b.txt", "score.py"]


def test_a_script_alone_brings_the_python_and_json_files_beside_it(
    workspace: Workspace, tmp_path: Path
) -> None:
    folder = write(
        tmp_path / "source", "score.py", "words.py", "swagger.json", "big.bin", "sub/more.py"
    )
    made = inference_of(workspace, entry_script=folder / "score.py")
    assert paths(workspace, made.source) == ["score.py", "swagger.json", "words.py"]


@pytest.mark.parametrize("script", ["api/score.py", "{folder}/api/score.py"])
def test_a_script_is_named_below_the_directory_or_by_its_path(
    workspace: Workspace, tmp_path: Path, script: str
) -> None:
    folder = write(tmp_path / "source", "api/score.py", "words.py")
    made = inference_of(
        workspace, entry_script=script.format(folder=folder), source_directory=folder
    )
    assert made.entry_script == "api/score.py"


def test_a_script_that_is_not_there_is_refused_with_a_suggestion(
    workspace: Workspace, tmp_path: Path
) -> None:
    folder = write(tmp_path / "source", "score.py")
    with pytest.raises(errors.NotFound, match=r"Did you mean 'score\.py'"):
        inference_of(workspace, entry_script="scores.py", source_directory=folder)
    with pytest.raises(errors.EmptyInput, match="entry_script"):
        inference_of(workspace, source_directory=folder)
    with pytest.raises(errors.NotFound, match="source directory"):
        inference_of(workspace, entry_script="score.py", source_directory=tmp_path / "none")


def test_a_script_that_is_ignored_is_told(workspace: Workspace, tmp_path: Path) -> None:
    folder = write(tmp_path / "source", "score.py", "other.py")
    (folder / ".gitignore").write_text("score.py\n")
    with pytest.raises(errors.NotFound, match="leaves out"):
        inference_of(workspace, entry_script="score.py", source_directory=folder)


def test_a_directory_that_is_too_large_is_refused_with_its_largest_files(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "source", "score.py", "one.txt", "two.txt")
    monkeypatch.setattr(source_folder, "MOST_FILES", 2)
    with pytest.raises(errors.NotInRange, match=r"3 files.*\.amlignore"):
        inference_of(workspace, entry_script="score.py", source_directory=folder)


def test_a_live_source_is_stored_anew_and_the_old_one_stays(
    workspace: Workspace, tmp_path: Path
) -> None:
    folder = write(tmp_path / "source", "score.py")
    old = inference_of(workspace, entry_script="score.py", source_directory=folder, live=True)
    (folder / "score.py").write_text("# another\n")
    write(folder, "more.py")
    new = stored_anew(workspace, old)
    assert new.source != old.source
    assert paths(workspace, old.source) == ["score.py"]
    assert paths(workspace, new.source) == ["more.py", "score.py"]
    with pytest.raises(errors.NotSupported, match="source directory"):
        stored_anew(workspace, old.model_copy(update={"live_source": ""}))


RULES = """
# a comment
*.log
!keep.log
/top.txt
build/
docs/**/*.md
a?c
[xy]1
\\#odd
deep/*/leaf
"""


@pytest.mark.parametrize(
    ("path", "is_folder", "is_ignored"),
    [
        ("a.log", False, True),
        ("sub/a.log", False, True),
        ("keep.log", False, False),
        ("top.txt", False, True),
        ("sub/top.txt", False, False),
        ("build", True, True),
        ("sub/build", True, True),
        ("build", False, False),
        ("docs/a.md", False, True),
        ("docs/x/y/a.md", False, True),
        ("other/a.md", False, False),
        ("abc", False, True),
        ("abbc", False, False),
        ("x1", False, True),
        ("z1", False, False),
        ("#odd", False, True),
        ("deep/one/leaf", False, True),
        ("deep/one/two/leaf", False, False),
        ("score.py", False, False),
    ],
)
def test_patterns_mean_what_git_means(path: str, is_folder: bool, is_ignored: bool) -> None:
    assert IgnoreRules(RULES.splitlines()).ignores(path, is_folder=is_folder) is is_ignored
