"""Tables and facts in narrow terminals."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from calotype.cli import terminal
from calotype.cli.terminal import facts, moment, table

URI = "http://127.0.0.1:8780/api/v1/service/a-service-with-a-long-name/score"
COLUMNS = ("name", "target", "state", "models", "scoring URI")
ROWS = [
    ("a-service-with-a-long-name", "cluster", "Transitioning", "flowers:1", URI),
    ("nowhere", "local", "Failed", "flowers:1", ""),
]


def drawn(width: int) -> str:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    table(console, COLUMNS, ROWS, address="scoring URI", less=("target",))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 160])
def test_a_uri_is_never_broken(width: int) -> None:
    text = drawn(width)
    assert URI in text
    assert "Transitioning" in text  # nor is another cell
    assert ("scoring URI" in text) == (width == 160)
    assert ("cluster" in text) == (width > 60)


def test_facts_break_between_words_only() -> None:
    console = Console(width=60, file=io.StringIO(), highlight=False)
    reason = "The replicas did not become ready, for the script raised an error in init()."
    facts(console, [("name", "daisy"), ("scoring URI", URI), ("error", reason)])
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines[:2] == ["name         daisy", f"scoring URI  {URI}"]
    assert max(map(len, lines[2:])) <= 60
    assert " ".join(part.strip() for part in lines[2:]) == f"error        {reason}"


def test_names_of_facts_alone_are_bold() -> None:
    console = Console(width=60, file=io.StringIO(), force_terminal=True, highlight=False)
    facts(console, [("name", "daisy")])
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "\x1b[1mname  \x1b[0mdaisy\n"


def test_times_are_told_in_one_way() -> None:
    assert moment("2026-11-22T13:42:59+02:00") == "2026-11-22 11:42 UTC"
    assert moment("in May") == "in May"
    sources = Path(terminal.__file__).parent.glob("*.py")
    others = [one.name for one in sources if "%H:%M" in one.read_text(encoding="utf-8")]
    assert others == ["terminal.py"]
