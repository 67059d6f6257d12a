"""`calotype convert`: Convert to Image Directory."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from calotype.cli.options import PATH, choice_option
from calotype.cli.references import announce, register_option, source_path
from calotype.cli.terminal import Terminal, command, examples, facts, table
from calotype.cli.workspace_option import current_workspace, workspace_option
from calotype.images.formats import DEFAULT_LIMITS

if TYPE_CHECKING:
    from rich.console import Console

    from calotype.images.image_directory import ImageDirectory

_CATEGORIES_SHOWN = 20
_PATHS_SHOWN = 3


@command(
    epilog=examples(
        "calotype convert photos/ images",
        "calotype convert photos.zip images --drop-duplicates",
        "calotype convert photos.tar.gz images --copy",
        "calotype convert dataset:flowers images --register flowers-images",
    )
)
@click.argument("source", type=PATH)
@click.argument("out", type=PATH)
@choice_option(
    "--labels",
    ["auto", "folders", "none"],
    "auto: class folders, if there are any, are the categories; folders demands them.",
)
@click.option("--copy", is_flag=True, help="Copy the images too, so that SOURCE may go.")
@click.option("--drop-duplicates", is_flag=True, help="Take each content once; reads all images.")
@click.option("--digest", is_flag=True, help="Store the SHA-256 of each image; reads all images.")
@choice_option(
    "--on-error",
    ["skip", "fail"],
    "skip lists images that are unreadable or too large; fail stops at the first.",
)
@click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    default=DEFAULT_LIMITS.max_pixels,
    show_default=True,
    help="Width times height of the largest image.",
)
@click.option(
    "--max-bytes",
    type=click.IntRange(min=1),
    default=DEFAULT_LIMITS.max_bytes,
    show_default=True,
    help="Size of the largest image file.",
)
@register_option("OUT, as a dataset,")
@workspace_option
def convert(
    terminal: Terminal,
    source: Path,
    out: Path,
    labels: Literal["auto", "folders", "none"],
    copy: bool,
    drop_duplicates: bool,
    digest: bool,
    on_error: Literal["skip", "fail"],
    max_pixels: int,
    max_bytes: int,
    register: str | None,
) -> None:
    """Make the image directory OUT of SOURCE.

    SOURCE is a folder with a sub-folder for each category, a folder without categories, a .zip or
    .tar(.gz/.bz2/.xz) of one, a single image, an image directory, or [dataset:]NAME[:VERSION] of
    the workspace. The images stay where they are and only their headers are read; converting again
    does nothing unless something changed.
    """
    from calotype.images.convert import convert as run_convert
    from calotype.images.formats import ImageLimits

    found = source_path(source, terminal)
    datasets = current_workspace(make=True).datasets if register else None
    started_s = time.monotonic()
    made = run_convert(
        found,
        out,
        labels=labels,
        copy=copy,
        drop_duplicates=drop_duplicates,
        digest=digest,
        limits=ImageLimits(max_pixels=max_pixels, max_bytes=max_bytes),
        on_error=on_error,
        progress=terminal.progress,
    )
    seconds = time.monotonic() - started_s
    document = _document(made, out, seconds)
    if register and datasets is not None:
        document |= announce(terminal, datasets.register(register, out, progress=terminal.progress))
    terminal.show(document, lambda console: _render(console, made, out, seconds))


def _document(made: ImageDirectory, out: Path, seconds: float) -> dict[str, Any]:
    counts = made.info.counts
    return {
        "path": str(out),
        "images": counts.images,
        "labeled": made.is_labeled,
        "categories": counts.categories,
        "skipped": counts.skipped,
        "fingerprint": made.info.fingerprint,
        "seconds": round(seconds, 3),
        "images_per_s": round(counts.images / seconds, 1) if seconds > 0 else None,
    }


def _render(console: Console, made: ImageDirectory, out: Path, seconds: float) -> None:
    counts = made.info.counts
    rate = f" ({counts.images / seconds:,.0f} images/s)" if seconds > 0 else ""
    skipped = sum(counts.skipped.values())
    facts(
        console,
        [
            ("image directory", out),
            ("images", f"{counts.images:,}"),
            ("categories", f"{len(counts.categories):,}" if made.is_labeled else "none"),
            (
                "skipped",
                f"{skipped:,}" + (f", listed in {out / 'skipped.parquet'}" * (skipped > 0)),
            ),
            ("time", f"{seconds:.2f} s{rate}"),
        ],
    )
    if made.is_labeled:
        named = list(counts.categories.items())
        table(console, ["category", "images"], named[:_CATEGORIES_SHOWN])
        if len(named) > _CATEGORIES_SHOWN:
            console.print(f"… {len(named) - _CATEGORIES_SHOWN:,} more")
    if skipped:
        table(console, ["skipped because", "files", "such as"], _skipped_rows(made))


def _skipped_rows(made: ImageDirectory) -> list[tuple[str, int, str]]:
    """Return reason, count and the first few paths, the most frequent reason first."""
    paths: defaultdict[str, list[str]] = defaultdict(list)
    wanted = {r: min(count, _PATHS_SHOWN) for r, count in made.info.counts.skipped.items()}
    for skipped in made.skipped():
        if len(paths[skipped.reason]) < _PATHS_SHOWN:
            paths[skipped.reason].append(skipped.path)
            if all(len(paths[reason]) == count for reason, count in wanted.items()):
                break
    ordered = sorted(made.info.counts.skipped.items(), key=lambda item: -item[1])
    return [(reason, count, ", ".join(paths[reason])) for reason, count in ordered]
