"""Options of how an image model works, for commands that score and serve."""

from __future__ import annotations

from typing import Final, Literal

import click

from calotype.cli.options import Decorated

Precision = Literal["auto", "fp32", "bf16", "int8"]
_OPTIONS: Final = (
    click.option(
        "--precision",
        type=click.Choice(["auto", "fp32", "bf16", "int8"]),
        default="auto",
        show_default=True,
        help="Of an image model; auto: the fastest that was measured to agree with fp32.",
    ),
    click.option("--threads", type=int, help="That decode and infer images.  [default: all cores]"),
    click.option(
        "--exact-decode",
        is_flag=True,
        help="Decode large JPEGs at full size instead of the next size that is large enough.",
    ),
    click.option(
        "--calibration/--no-calibration",
        default=True,
        show_default=True,
        help="Calibrated probabilities, or those of the network as they come; same labels.",
    ),
)


def image_model_options(function: Decorated) -> Decorated:
    """Add them all."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
