"""Tables and facts as wide as the terminal: lines break between words, and nowhere else."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_BETWEEN: Final = 3  # characters between two columns
_AROUND: Final = 2


def facts(console: Console, rows: Sequence[tuple[str, object]]) -> None:
    """Draw name-value pairs as two aligned columns; no word is broken: it may be an address."""
    from rich.text import Text

    left = max((len(name) for name, _ in rows), default=0) + 2
    for name, value in rows:
        lines = [part for line in str(value).split("\n") for part in _wrapped(line, console, left)]
        for index, line in enumerate(lines):
            head = ("" if index else name).ljust(left)
            console.print(Text.assemble((head, "bold"), line), soft_wrap=True)


def _wrapped(line: str, console: Console, left: int) -> list[str]:
    room = max(console.width - left, 20)
    if len(line) <= room:
        return [line]
    return textwrap.wrap(line, room, break_long_words=False, break_on_hyphens=False) or [""]


def table(
    console: Console,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    address: str = "",
    less: Sequence[str] = (),
) -> None:
    """Draw rows under headings; columns whose cells are all numbers are aligned to the right.

    In a terminal that is too narrow, the columns that matter less go first, then cells take several
    lines; where not even their longest words have room, each row becomes a list of facts, of all
    columns.

    Args:
        console: where to draw.
        columns: the headings.
        rows: the cells; the first of each names it.
        address: the column of URIs, which are never broken: in a narrow terminal they stand below.
        less: columns that a narrow terminal does not show, those that matter least first.
    """
    left_out = [name for name in (address, *less) if name]
    shown = list(columns)
    grid = [list(columns), *([_cell(value) for value in row] for row in rows)]
    while (widths := _widths(grid, columns, shown, console.width, folds=not left_out)) is None:
        if not left_out:
            _as_facts(console, grid, columns, [name for name in columns if name != address])
            break
        shown.remove(left_out.pop(0))
    else:
        console.print(_drawn(columns, rows, grid, widths))
    if address and address not in shown:
        at = columns.index(address)
        facts(console, [(str(row[0]), row[at]) for row in rows if row[at]])


def _widths(
    grid: Sequence[Sequence[str]],
    columns: Sequence[str],
    shown: Sequence[str],
    width: int,
    *,
    folds: bool,
) -> dict[int, int] | None:
    """Return how wide the columns are that are shown, by their places; None without room.

    Args:
        grid: all cells, and the headings first.
        columns: the headings.
        shown: those to show.
        width: of the terminal.
        folds: whether cells may take several lines.
    """
    places = [index for index, column in enumerate(columns) if column in shown]
    lines = {at: _longest(row[at].split("\n") for row in grid) for at in places}
    words = {at: _longest(row[at].split() for row in grid) for at in places}
    room = width - _AROUND - _BETWEEN * (len(places) - 1)
    for widest in range(max(lines.values(), default=0), 0, -1):
        found = {at: min(lines[at], max(words[at], widest)) for at in places}
        if sum(found.values()) <= room:
            return found
        if not folds:
            return None
    return None


def _longest(parts: Iterable[Sequence[str]]) -> int:
    from rich.cells import cell_len

    return max((cell_len(one) for found in parts for one in found), default=0)


def _drawn(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    grid: Sequence[Sequence[str]],
    widths: Mapping[int, int],
) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for at, width in widths.items():
        is_number = all(isinstance(row[at], int | float) for row in rows)
        justify = "right" if is_number else "left"
        drawn.add_column(columns[at], justify=justify, overflow="fold", width=width)
    for cells in grid[1:]:
        drawn.add_row(*(Text(cells[at]) for at in widths))
    return drawn


def _as_facts(
    console: Console, grid: Sequence[Sequence[str]], columns: Sequence[str], shown: Sequence[str]
) -> None:
    for cells in grid[1:]:
        named = zip(columns, cells, strict=True)
        facts(console, [(name, cell) for name, cell in named if name in shown])
        console.print()


def _cell(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
