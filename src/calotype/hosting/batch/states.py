"""What a batch job can be, and the words for it."""

from __future__ import annotations

from typing import Final, Literal

JobState = Literal[
    "Starting", "Running", "Canceling", "Completed", "Failed", "Canceled", "Interrupted"
]
"""`Interrupted`: its process is gone without having said why; it can go on."""

KIND: Final = "batch"
RUNNING_STATES: Final = ("Starting", "Running", "Canceling")


def true_state(said: str, *, is_alive: bool) -> str:
    """Return the state of a job by what its record says and whether its process lives."""
    if is_alive or said not in RUNNING_STATES:
        return said
    return "Canceled" if said == "Canceling" else "Interrupted"
