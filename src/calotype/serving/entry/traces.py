"""Traces of a user's script, without the frames of what called it."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Final

_OURS: Final = tuple(
    str(Path(__file__).with_name(name)) for name in ("script.py", "loading.py", "deadline.py")
)
_IMPORTING: Final = "<frozen importlib"


def trace_of(error: BaseException) -> str:
    """Return the trace of an error as it is told in the log: from the script's own first line."""
    told = traceback.TracebackException.from_exception(error)
    for part in _chain(told):
        frames = list(part.stack)
        while frames and frames[0].filename.startswith((*_OURS, _IMPORTING)):
            del frames[0]
        while frames and frames[-1].filename.startswith(_OURS):  # the alarm, which rings anywhere
            del frames[-1]
        part.stack = traceback.StackSummary.from_list(frames)
    return "".join(told.format())


def _chain(told: traceback.TracebackException) -> list[traceback.TracebackException]:
    """Return an error with those that came before it."""
    found = [told]
    for part in found:
        found += [earlier for earlier in (part.__cause__, part.__context__) if earlier is not None]
    return found
