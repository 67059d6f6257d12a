"""Tables and facts in narrow terminals."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from calotype.cli import terminal
from calotype.cli.terminal import facts, moment, table

URI = "http://127.0.0.1:8780/api/v1/service/a-service-with-a-long-name/score"
COLUMNS = ("name", "target", "state", "models", "scoring URI")
WORDS = st.lists(
    st.text("abcdefgh/", min_size=1, max_size=30) | st.sampled_from(["x", "reference", "日本語"]),
    max_size=5,
).map(" ".join)
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


@pytest.mark.parametrize("width", [40, 60, 100])
@given(
    cells=st.integers(1, 7).flatmap(
        lambda columns: st.lists(
            st.lists(WORDS, min_size=columns, max_size=columns), min_size=1, max_size=4
        )
    ),
    less=st.integers(0, 3),
)
@settings(max_examples=40, deadline=None)
def test_no_word_is_broken(width: int, cells: list[list[str]], less: int) -> None:
    columns = [f"column {index}" for index in range(len(cells[0]))]
    console = Console(width=width, file=io.StringIO(), highlight=False)
    left_out = columns[1:][:less]
    table(console, columns, cells, less=left_out)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    kept = [name for name in columns if name not in left_out]
    for row in cells:
        for name, cell in zip(columns, row, strict=True):
            assert name not in kept or set(cell.split()) <= set(text.split())
    longest = max(len(word) for row in cells for cell in row for word in cell.split() or [""])
    if longest <= width - len("column 0  "):
        assert max(map(len, text.splitlines()), default=0) <= width


def test_a_row_without_room_becomes_facts() -> None:
    console = Console(width=60, file=io.StringIO(), highlight=False)
    rows = [("a/" * 26, 3, "an error"), ("b", 1.5, "none")]
    table(console, ["file", "size", "why"], rows, less=["size"])
    assert isinstance(console.file, io.StringIO)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert lines[:4] == [f"file  {'a/' * 26}", "size  3", "why   an error", ""]
    assert lines[4:7] == ["file  b", "size  1.5000", "why   none"]


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
