"""The code blocks of the README and of docs/ run, page by page, as a reader would run them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import photographs
from calotype import errors
from calotype.models.image_model import ONNX, ImageModel

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CATEGORIES = ("astronauts", "cats", "coffee")
_BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return language and text of the blocks to run; `sh` marks those that are only shown."""
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def desk(shared_folder: Path, imagenet_model: ImageModel, tmp_path_factory: pytest.TempPathFactory):
    """Lay out what the pages take for granted: photos/, photo.jpg, model/, imported/, images/."""
    folder = tmp_path_factory.mktemp("desk")
    for index, category in enumerate(CATEGORIES):
        photographs.write(folder / "photos" / category, count=14, size=(96, 72), seed=index)
    photographs.write(folder, count=1, size=(320, 240))
    (folder / "00000.jpg").rename(folder / "photo.jpg")
    shutil.copy(imagenet_model.path / ONNX, folder / "net.onnx")
    (folder / "labels.txt").write_text("\n".join(imagenet_model.classes), encoding="utf-8")
    for name in ("model", "imported"):
        shutil.copytree(imagenet_model.path, folder / name)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda page: page.name)
def test_the_blocks_of_a_page_run_from_top_to_bottom(
    page: Path, desk: Path, tmp_path: Path, shared_folder: Path
) -> None:
    here = tmp_path / "here"
    shutil.copytree(desk, here)
    makes_model = any("--out model" in text for _, text in blocks(page))
    if makes_model:
        shutil.rmtree(here / "model")
    elif "calotype convert photos images" not in page.read_text(encoding="utf-8"):
        subprocess.run([program("calotype"), "convert", "photos", "images"], cwd=here, check=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "CALOTYPE_CACHE": str(shared_folder / "cache")}
    for language, text in blocks(page):
        command = ["bash", "-euo", "pipefail", "-c", text]
        if language == "python":
            command = [sys.executable, "-W", "error", "-c", text]
        done = subprocess.run(
            command, cwd=here, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stderr}"
        assert done.stdout


def program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def numbered(error: type[errors.CalotypeError]) -> set[type[errors.CalotypeError]]:
    found = {error} if "number" in vars(error) else set()
    return found.union(*(numbered(one) for one in error.__subclasses__()))


def test_every_error_is_in_the_reference_once_with_its_number() -> None:
    page = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\d{4}) \| (\w+) \|", page, re.MULTILINE)
    expected = {(f"{one.number:04d}", one.__name__) for one in numbered(errors.CalotypeError)}
    assert set(listed) == expected - {("1000", "CalotypeError")}
    assert len(listed) == len(set(number for number, _ in listed))


def test_every_error_is_drawn_in_the_tree() -> None:
    for one in numbered(errors.CalotypeError) - {errors.CalotypeError, errors.UnexpectedError}:
        assert re.search(rf"{one.__name__}\s+{one.number:04d}", errors.__doc__ or ""), one
