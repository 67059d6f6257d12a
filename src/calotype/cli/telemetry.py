"""`calotype service metrics`, `drift` and `collected`: what a service did and what it met."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calotype import errors
from calotype.cli.options import PATH
from calotype.cli.service_option import name_option
from calotype.cli.terminal import Terminal, command, examples, facts, moment, table
from calotype.cli.workspace_option import current_workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from calotype.hosting.history import Minute
    from calotype.webservice.collected_tables import Format
    from calotype.webservice.drift import Drift

_MOST_ROWS = 24
_MOST_CLASSES = 12


@command(
    epilog=examples(
        "calotype service metrics -n flowers",
        "calotype service metrics -n flowers --hours 168 --out report",
    )
)
@name_option
@click.option("--hours", type=click.IntRange(1, 24 * 90), default=24, show_default=True)
@click.option("--version", help="Of one version only.")
@click.option("--out", type=PATH, metavar="DIR", help="Write metrics.html with charts to DIR.")
def metrics(
    terminal: Terminal, name: str, hours: int, version: str | None, out: Path | None
) -> None:
    """Show how many requests a service answered, how many failed and how long they took.

    For services that were deployed with --enable-app-insights; a minute is written when it is over.
    """
    from calotype import files
    from calotype.hosting import history
    from calotype.hosting.layout import Layout
    from calotype.workspace.machine import require_here

    workspace = current_workspace()
    service = workspace.services.get(name)
    require_here(workspace.place, service.host, what=f"service '{name}'")
    until = datetime.now(UTC)
    since = until - timedelta(hours=hours)
    folder = Layout.of(workspace.place).history(name)
    minutes = history.read(folder, since=since, version=version)
    if not minutes and not any(one.wanted.runtime.telemetry for one in service.versions):
        raise errors.NotFound(
            "expected a history of requests",
            where=f"service '{name}', last {hours} h",
            got="a service without telemetry",
            action=f"Run: calotype service update -n {name} --enable-app-insights",
        )
    if out is not None and minutes:
        from calotype.webservice.metrics_page import render

        page = render(name, minutes, since=since, until=until)
        files.write_text(out / "metrics.html", page)
    document = {
        "name": name,
        "since": since.isoformat(timespec="seconds"),
        "total": _document(history.together(minutes)) if minutes else None,
        "minutes": [_document(minute) for minute in minutes],
    }
    terminal.show(document, lambda console: _draw_metrics(console, minutes, out))


def _document(minute: Minute | None) -> dict[str, Any]:
    assert minute is not None
    times = {f"p{percent}_ms": minute.percentile_ms(percent) for percent in (50, 90, 95, 99)}
    return {
        "at": minute.at.isoformat(timespec="seconds"),
        "requests": minute.requests,
        "failures": minute.failures,
        "refused": minute.refused,
        "mean_ms": minute.mean_ms,
        **times,
    }


def _draw_metrics(console: Console, minutes: Sequence[Minute], out: Path | None) -> None:
    from calotype.hosting import history

    if not minutes:
        console.print("No minute with requests is over yet: ask again in one.")
        return
    rows = [_row(minute, moment(minute.at)) for minute in minutes[-_MOST_ROWS:]]
    whole = history.together(minutes)
    assert whole is not None
    columns = ["minute", "requests", "failed", "refused", "mean ms", "P50", "P95", "P99"]
    if len(minutes) > 1:
        rows.append(_row(whole, f"all {len(minutes)}"))
    table(console, columns, rows, less=("mean ms", "P99", "refused"))
    if out is not None:
        facts(console, [("page", (out / "metrics.html").absolute())])


def _row(minute: Minute, name: str) -> list[object]:
    times = (minute.mean_ms, *(minute.percentile_ms(percent) for percent in (50, 95, 99)))
    texts = ("" if value is None else f"{value:,.1f}" for value in times)
    return [name, minute.requests, minute.failures, minute.refused, *texts]


@command(
    epilog=examples(
        "calotype service drift -n flowers --out drift",
        "calotype service drift -n flowers --days 7 -o json",
    )
)
@name_option
@click.option("--out", type=PATH, metavar="DIR", help="Write drift.html and drift.json to DIR.")
@click.option("--days", type=click.IntRange(1, 3660), default=30, show_default=True)
@click.option("--model", default="", metavar="NAME:VERSION", help="[default: what it serves]")
@click.option(
    "--novelty-images",
    type=click.IntRange(0, 100_000),
    default=200,
    show_default=True,
    help="How many of the newest kept images to look at; 0 for none.",
)
def drift(
    terminal: Terminal, name: str, out: Path | None, days: int, model: str, novelty_images: int
) -> None:
    """Compare what a service predicts with what its model predicted for validation images.

    For services that were deployed with --collect-model-data, and with --collect-image-copies to
    see the novelty of images.
    """
    from calotype import files
    from calotype.webservice.drift_measurement import measure

    found = measure(
        current_workspace(), name, days=days, model=model, novelty_images=novelty_images
    )
    if out is not None:
        from calotype.webservice.drift_page import render

        files.write_text(out / "drift.html", render(found))
        files.write_json(out / "drift.json", found.document)
    terminal.show(found.document, lambda console: _draw_drift(console, found, out))


def _draw_drift(console: Console, found: Drift, out: Path | None) -> None:
    from calotype.webservice.drift_page import days_text, p_value_text, signed_percent, verdict

    columns = ["class", "in use", "part", "reference", "points", "p-value"]
    rows = [
        [
            shift.name,
            shift.found,
            f"{shift.share:.1%}",
            f"{shift.reference_share:.1%}",
            signed_percent(shift.change),
            p_value_text(shift.p_value),
        ]
        for shift in found.classes[:_MOST_CLASSES]
    ]
    if found.is_own_reference:  # every class would be compared with itself
        columns, rows = columns[:3], [row[:3] for row in rows]
    table(console, columns, rows, less=("p-value", "points"))
    said = [
        ("verdict", verdict(found)),
        ("model", found.model),
        ("requests", f"{found.requests:,} {days_text(len(found.days))}"),
    ]
    if not found.is_own_reference:
        index = f"{found.total.psi:.3f} (0.1: something, 0.25: much has changed)"
        said += [("stability index", index), ("p-value", p_value_text(found.total.p_value))]
    if found.novelty is not None:
        novel = found.novelty.novel / found.novelty.images
        said.append(("novel images", f"{novel:.1%} of {found.novelty.images}; 5.0% expected"))
    if out is not None:
        said.append(("page", str((out / "drift.html").absolute())))
    facts(console, said)


@command(
    epilog=examples(
        "calotype service collected -n flowers --out data",
        "calotype service collected -n flowers --out data --format parquet --days 7",
    )
)
@name_option
@click.option("--out", type=PATH, metavar="DIR", required=True, help="Gets the two tables.")
@click.option("--days", type=click.IntRange(1, 3660), default=30, show_default=True)
@click.option("--format", type=click.Choice(["csv", "parquet"]), default="csv", show_default=True)
@click.option("--model", default="", metavar="NAME:VERSION", help="[default: what it serves]")
def collected(
    terminal: Terminal, name: str, out: Path, days: int, format: Format, model: str
) -> None:
    """Write the inputs and predictions that a service has collected as two tables."""
    from calotype.webservice.collected import collected_of
    from calotype.webservice.collected_tables import write_tables

    model, folder = collected_of(current_workspace(), name, model)
    counts = write_tables(folder, out, days=days, format=format)
    document = {"name": name, "model": model, "out": str(out.absolute()), "rows": counts}
    terminal.show(
        document,
        lambda console: facts(
            console,
            [
                ("model", model),
                *((f"{table}.{format}", f"{count:,} rows") for table, count in counts.items()),
                ("written to", out.absolute()),
            ],
        ),
    )
