"""The code blocks of the README and of docs/ run, page by page, as a reader would run them."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import photographs
from calotype import errors
from calotype.cli.serve import serve
from calotype.images.convert import convert
from calotype.models.image_model import ONNX, ImageModel
from calotype.parameters import describe
from calotype.serving.settings import ServiceSettings

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = ("curl", "node", "openssl")
CATEGORIES = ("astronauts", "cats", "coffee")
_BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return language and text of the blocks to run; `sh` marks those that are only shown."""
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def desk(shared_folder: Path, imagenet_model: ImageModel, tmp_path_factory: pytest.TempPathFactory):
    """Lay out what the pages take for granted: photos/, photo.jpg, model/, imported/, images/.

    The images lie here, also those of the copies.
    """
    folder = tmp_path_factory.mktemp("desk")
    for index, category in enumerate(CATEGORIES):
        photographs.write(folder / "photos" / category, count=8, size=(96, 72), seed=index)
    photographs.write(folder, count=1, size=(320, 240))
    (folder / "00000.jpg").rename(folder / "photo.jpg")
    shutil.copy(imagenet_model.path / ONNX, folder / "net.onnx")
    (folder / "labels.txt").write_text("\n".join(imagenet_model.classes), encoding="utf-8")
    for name in ("model", "imported"):
        shutil.copytree(imagenet_model.path, folder / name)
    convert(folder / "photos", folder / "images")
    return folder


class Reader:
    """Runs blocks, each in a process group of its own, so that nothing outlives the page.

    Pages say 5001, the port of `calotype serve`; here it is a free one, the same for a whole page.
    A reader waits until a service has ended before the next block starts another; and on a busy
    machine, longer for one to begin.
    """

    def __init__(self, here: Path, environment: dict[str, str]) -> None:
        self._here = here
        self._environment = environment
        self._groups: list[int] = []
        # Below those that systems hand out, and the services of workspaces take.
        self._port = next(one for one in random.sample(range(10_000, 20_000), 100) if _is_free(one))

    def run(self, language: str, text: str) -> str:
        """Run one block; return what it printed to stdout."""
        if "calotype serve" in text and "--port 0" not in text:
            _wait(lambda: _is_free(self._port))
        text = re.sub(r"\b5001\b", str(self._port), text)
        text = text.replace("curl -sf --retry 30 ", "curl -sf --retry 180 ")
        command = ["bash", "-euo", "pipefail", "-c", text]
        if language == "python":
            command = [sys.executable, "-W", "error", "-c", text]
        with subprocess.Popen(
            command,
            cwd=self._here,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            self._groups.append(process.pid)
            stdout, stderr = process.communicate()
        assert process.returncode == 0, f"{text}\n{stdout}{stderr}{self._logs()}"
        return stdout

    def still_running(self) -> list[int]:
        """Return the process groups that are left after some time to end."""
        _wait(lambda: not any(_lives(one) for one in self._groups))
        return [one for one in self._groups if _lives(one)]

    def end_all(self) -> None:
        """Kill what is left; a workspace's own processes are in no group of ours."""
        if (self._here / ".calotype").exists():
            subprocess.run(
                [program("calotype"), "down"], cwd=self._here, env=self._environment, check=False
            )
        for group in self._groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    def _logs(self) -> str:
        return "".join(path.read_text() for path in self._here.glob("*.log"))


def _wait(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline_s:
        time.sleep(0.05)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def check_programs(page: Path) -> None:
    """Skip a page whose blocks call a program that is not here; in CI it has to be."""
    text = "".join(text for language, text in blocks(page) if language == "bash")
    missing = [one for one in PROGRAMS if re.search(rf"\b{one} ", text) and not shutil.which(one)]
    if missing:
        # .ci/run says "optional" where it may not install what is missing.
        wanted = os.environ.get("CALOTYPE_TOOLCHAINS", "required" if os.environ.get("CI") else "")
        say = pytest.fail if wanted == "required" else pytest.skip
        say(f"{', '.join(missing)} not found")


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda page: page.name)
def test_the_blocks_of_a_page_run_from_top_to_bottom(
    page: Path, desk: Path, tmp_path: Path, shared_folder: Path
) -> None:
    check_programs(page)
    here = tmp_path / "here"
    shutil.copytree(desk, here)
    text = "".join(text for _, text in blocks(page))
    for name, command in (("model", "--out model"), ("images", "calotype convert photos images")):
        if command in text:
            shutil.rmtree(here / name)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "CALOTYPE_CACHE": str(shared_folder / "cache")}
    reader = Reader(here, environment)
    try:
        for language, text in blocks(page):
            assert reader.run(language, text), text
        assert not reader.still_running(), "the page leaves something running"
    finally:
        reader.end_all()


def program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_every_setting_of_a_service_is_in_the_reference() -> None:
    page = (ROOT / "docs/reference/serve.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `--([a-z0-9-]+)` \| (.*?) \| (.*?) \| (.*?) \|$", page, re.MULTILINE)
    expected = {
        (
            name.replace("_", "-"),
            _default(one["default"]),
            " or ".join(f"`{choice}`" for choice in one["choices"] or []) or one["range"],
            one["help"],
        )
        for name, one in describe(ServiceSettings).items()
    }
    assert expected <= set(listed)
    assert len(listed) == len({name for name, *_ in listed})


def test_every_option_of_serve_is_in_the_reference() -> None:
    page = (ROOT / "docs/reference/serve.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(--[a-z0-9.-]+)", page, re.MULTILINE))
    shared = {"--output", "--quiet", "--verbose", "--workspace", "--help"}
    flags = {next(one for one in option.opts if one.startswith("--")) for option in serve.params}
    assert listed == flags - shared


def test_the_pages_that_are_made_of_the_code_are_up_to_date() -> None:
    command = [sys.executable, ROOT / "docs/generate_reference.py", "--check"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr


def _default(value: object) -> str:
    if isinstance(value, int | float):
        return f"{value:,}" if value >= 10_000 else f"{value}"
    return f"`{value}`" if value else "none"


def numbered(error: type[errors.CalotypeError]) -> set[type[errors.CalotypeError]]:
    is_ours = error.__module__ == errors.__name__  # the SDK has old names for the same errors
    found = {error} if is_ours and "number" in vars(error) else set()
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
