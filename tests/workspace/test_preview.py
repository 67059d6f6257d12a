"""The page of a dataset."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from calotype.workspace.workspace import Workspace


def test_categories_have_counts_and_pictures(
    workspace: Workspace, photos: Path, tmp_path: Path
) -> None:
    made = workspace.datasets.register("flowers", photos, description="<b>mine</b>")
    page = made.preview(tmp_path / "page.html", thumbnails=2).read_text()
    assert page.count("data:image/jpeg;base64,") == 4
    assert re.search(r">cats</th><td class=\"n\">3</td><td class=\"n\">60.0 %<", page)
    assert "Dataset flowers:1" in page
    assert "&lt;b&gt;mine" in page
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)  # needs nothing from elsewhere


def test_images_without_categories(
    workspace: Workspace, picture: Callable[..., Path], tmp_path: Path
) -> None:
    for number in range(12):
        picture(tmp_path / "flat" / f"{number}.png")
    made = workspace.datasets.register("flat", tmp_path / "flat")
    page = made.preview(tmp_path / "page.html", thumbnails=5).read_text()
    assert page.count("data:image/jpeg;base64,") == 5
    assert "Categories" not in page


@pytest.mark.parametrize("is_archive", [False, True])
def test_files_that_are_no_images(workspace: Workspace, tmp_path: Path, is_archive: bool) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "a.csv").write_text("1,2")
    (folder / "b.csv").write_text("1,2")
    source = folder
    if is_archive:
        source = tmp_path / "tables.zip"
        with zipfile.ZipFile(source, "w") as file:
            file.write(folder / "a.csv", "a.csv")
    made = workspace.datasets.register("tables", source)
    page = made.preview(tmp_path / "page.html").read_text()
    assert ("tables.zip" if is_archive else "a.csv") in page
    assert "<img" not in page


def test_many_categories_make_a_page_that_opens(
    workspace: Workspace, picture: Callable[..., Path], tmp_path: Path
) -> None:
    for number in range(70):
        picture(tmp_path / "many" / f"class {number:02}" / "1.png")
    made = workspace.datasets.register("many", tmp_path / "many", copy=True)
    page = made.preview(tmp_path / "page.html").read_text()
    assert page.count("<img") == 60
    assert "Of 10 more categories" in page
    assert "class 69" in page
