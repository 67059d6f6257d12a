"""`calotype demo`: the whole job on real photographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from calotype.cli.terminal import Terminal, command, examples, facts, table

if TYPE_CHECKING:
    from rich.console import Console

    from calotype.demo import DemoResult


@command(epilog=examples("calotype demo", "calotype demo --workspace solar"))
@click.option(
    "--workspace",
    type=click.Path(path_type=Path),
    default=Path("calotype-demo"),
    show_default=True,
    help="The folder for everything that the demo makes.",
)
def demo(terminal: Terminal, workspace: Path) -> None:
    """Do the whole job on real photographs: convert, split, train, score, evaluate, report.

    2,624 photographs of solar cells (images CC BY-NC-SA 4.0) are sorted into functional and
    defective ones; then the ready ImageNet model names what is on a few everyday photographs.
    """
    from calotype.demo import Demo

    result = Demo(workspace, progress=terminal.progress).run()
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
            ("report", result.evaluation.report.absolute()),
        ],
    )
