"""The program itself: start-up, exit codes, errors in one line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import calotype
from calotype.cli.main import COMMANDS, program

PROGRAM = str(Path(sys.executable).with_name("calotype"))
HEAVY = (
    *("torch", "torchvision", "timm", "ray", "openvino", "onnxruntime"),
    *("sqlalchemy", "pandas", "sklearn", "pyarrow", "numpy", "PIL", "pydantic", "rich"),
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False)


def imported(*command: str) -> list[str]:
    """Return the modules that a command imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=True
    )
    return re.findall(r"import time:\s+\d+ \|\s+\d+ \|\s+(\S+)", done.stderr)


@pytest.mark.parametrize("command", [("-c", "import calotype"), ("-m", "calotype", "--help")])
def test_importing_and_help_load_nothing_heavy(command: tuple[str, ...]) -> None:
    modules = imported(*command)
    assert {name.partition(".")[0] for name in modules}.isdisjoint(HEAVY)
    assert 20 < len(modules) < 200  # most take less than a millisecond


def test_help_lists_every_command_in_the_order_of_the_work() -> None:
    shown = run("--help").stdout
    places = [shown.index(f"  {name} ") for name in COMMANDS]
    assert places == sorted(places)


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_exists_and_has_help_with_examples(command: str) -> None:
    import click

    found = program.get_command(click.Context(program), command)  # pyright: ignore
    assert found is not None
    leaves = list(found.commands.values()) if isinstance(found, click.Group) else [found]
    for leaf in leaves:
        assert leaf.help
        assert "Examples:" in (leaf.epilog or ""), leaf.name


def test_the_version_is_printed() -> None:
    assert run("--version").stdout.strip() == f"calotype, version {calotype.__version__}"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["convrt"], "Did you mean 'convert'?"),
        (["convert"], "Missing argument"),
        (["score", "--precision", "fp64"], "fp64"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_hint(arguments: list[str], text: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert text in done.stderr
    assert done.stdout == ""


def test_a_failure_is_one_line_with_its_number_and_the_trace_only_on_request(
    tmp_path: Path,
) -> None:
    arguments = ["score", "--model", str(tmp_path), "--images", "x", "--out", str(tmp_path / "o")]
    done = run(*arguments)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error 0159: ")
    assert "Traceback" in run("-v", *arguments).stderr
    assert "Traceback" in run(*arguments, "-v").stderr


def test_a_closed_pipe_is_no_trace() -> None:
    done = subprocess.run(
        f"{PROGRAM} transformation init --help | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr


def test_public_names_are_exactly_all() -> None:
    assert calotype.__all__ == sorted(calotype.__all__)
    for name in calotype.__all__:
        assert getattr(calotype, name).__name__ == name
    with pytest.raises(AttributeError, match="Nothing"):
        _ = calotype.Nothing
