"""`calotype demo`: the whole job on real photographs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from calotype.cli.terminal import Terminal, command, examples, facts, table

if TYPE_CHECKING:
    from rich.console import Console

    from calotype.demo import DemoResult
    from calotype.demo.serving import Served


@command(epilog=examples("calotype demo", "calotype demo --workspace solar --keep-serving"))
@click.option(
    "--workspace",
    type=click.Path(path_type=Path),
    default=Path("calotype-demo"),
    show_default=True,
    help="The folder for everything that the demo makes.",
)
@click.option("--keep-serving", is_flag=True, help="Leave the web service running at the end.")
def demo(terminal: Terminal, workspace: Path, keep_serving: bool) -> None:
    """Do the whole job on real photographs: convert, split, train, score, evaluate, deploy, call.

    2,624 photographs of solar cells (images CC BY-NC-SA 4.0) are sorted into functional and
    defective ones; then the ready ImageNet model names what is on a few everyday photographs.
    """
    from calotype.demo import Demo

    result = Demo(workspace, keep_serving=keep_serving, progress=terminal.progress).run()
    terminal.show(result.document, lambda console: _render(console, result))


def _render(console: Console, result: DemoResult) -> None:
    from calotype.demo import PUBLISHED_ACCURACY
    from calotype.evaluation import wording
    from calotype.evaluation.metrics import METRICS, top_k
    from calotype.pages.wording import decimal

    assert result.evaluation is not None
    evaluated = result.evaluation.sets[0]
    k = top_k(len(evaluated.classes))
    rows = [
        (metric.title.format(k=k), decimal(estimate.value), wording.interval(estimate))
        for metric, estimate in zip(METRICS.values(), evaluated.estimates.values(), strict=True)
    ]
    table(console, ["held-out cells", "value", "95 % interval"], rows)
    table(console, ["photograph", "label", "probability"], result.photographs)
    total_s = sum(step.elapsed_s for step in result.steps)
    facts(
        console,
        [
            ("published accuracy", f"{PUBLISHED_ACCURACY:.2%} (Deitsch et al. 2019, 75/25 split)"),
            ("time", f"{total_s:.0f} s"),
            ("everything", result.folder.absolute()),
            ("report", result.report.absolute()),
        ],
    )
    if result.served is not None:
        _render_service(console, result.served, result.is_serving, result.folder.absolute())


def _render_service(console: Console, served: Served, is_serving: bool, folder: Path) -> None:
    from calotype.demo.serving import SERVICE

    place = shlex.quote(str(folder))
    facts(
        console,
        [
            ("scoring URI", served.scoring_uri),
            ("look at it with", f"calotype service show -n {SERVICE} -w {place}"),
            (
                "end it with" if is_serving else "start it again with",
                f"calotype {'down' if is_serving else 'up'} -w {place}",
            ),
        ],
    )
    click.echo(f"\n{served.curl}")  # in one piece, to be copied
