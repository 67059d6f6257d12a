"""What can be set about one batch job. Defaults are those of the retired product's successor."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from calotype.parameters import Parameters


class BatchSettings(Parameters):
    """How the images or rows of one job go through a service.

    An image model has no use for mini-batches: `mini_batch_size`, `retries` and `timeout_s` concern
    scripts and rows. `columns` concerns rows alone.
    """

    mini_batch_size: int = Field(
        default=10,
        ge=1,
        le=100_000,
        description="Files for run() of a script, or rows for a model, at a time.",
    )
    retries: int = Field(
        default=3, ge=0, le=100, description="Further attempts at a mini-batch that failed."
    )
    error_threshold: int = Field(
        default=-1, ge=-1, description="The job fails when more files or rows do; -1: never."
    )
    timeout_s: float = Field(default=30.0, gt=0, description="That a mini-batch may take.")
    output_action: Literal["append_row", "summary_only"] = Field(
        default="append_row",
        description="append_row keeps a row for each prediction, summary_only their number.",
    )
    columns: tuple[str, ...] = Field(
        default=(), description="Of rows, those that the model is given, with commas between; all."
    )
    part_s: float = Field(
        default=5.0, ge=0, description="At most so many seconds of work are lost by a kill."
    )

    @field_validator("columns", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Take the text of a command line apart."""
        if isinstance(value, str):
            return tuple(name for name in map(str.strip, value.split(",")) if name)
        return value
