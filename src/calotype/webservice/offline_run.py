"""`Run` outside of a run: what scripts log is printed, as the retired SDK did there."""

from __future__ import annotations

import sys
from typing import Any, Final, NoReturn

from calotype.webservice import unsupported

_DONE_BY_NOBODY: Final = (
    *("cancel", "complete", "fail", "flush", "set_tags", "start", "tag"),
    *("upload_file", "upload_files", "upload_folder", "wait_for_completion"),
)
_ROW: Final = "Run(…)"


class OfflineRun:
    """The run of a script that nobody submitted.

    Attributes:
        id: begins with `OfflineRun`, which scripts look for.
    """

    id = "OfflineRun"

    def __getattr__(self, name: str) -> Any:
        if name == "log" or name.startswith("log_"):
            return _print
        if name in _DONE_BY_NOBODY:
            return _nothing
        row = unsupported.UNSUPPORTED[_ROW]
        raise AttributeError(f"A run has no '{name}' here. {row.why} {row.instead}")


class _RunKind(type):
    """The kind of `Run`: a class that gives the run of this process, and is called by nobody."""

    def __call__(cls, *_args: Any, **_named: Any) -> NoReturn:
        unsupported.refuse(_ROW)

    def __getattr__(cls, name: str) -> NoReturn:
        if name.startswith("__"):  # Python itself looks, and nobody uses it
            raise AttributeError(name)
        unsupported.refuse(_ROW, used=f"Run.{name}")

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, OfflineRun)


class Run(metaclass=_RunKind):
    """Only `get_context`: there are no other runs than that of the process."""

    @classmethod
    def get_context(cls, allow_offline: bool = True, **_ignored: Any) -> OfflineRun:
        """Return the run that prints what it is given.

        Raises:
            WebserviceException: `allow_offline` is false (2006).
        """
        if not allow_offline:
            unsupported.refuse(_ROW, used="Run.get_context(allow_offline=False)")
        return OfflineRun()


def _print(name: str, *values: Any, **named: Any) -> None:
    """Print what was to be logged, as one line of the log."""
    said = [*map(str, values), *(f"{key}={value}" for key, value in named.items())]
    sys.stdout.write(f"{name}: {', '.join(said)}\n")


def _nothing(*_args: Any, **_named: Any) -> None: ...
