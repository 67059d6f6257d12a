"""Starting the processes of a workspace, so that they outlive whoever started them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import calotype
from calotype.hosting.log_files import RotatingLog
from calotype.secret_variables import for_ours, for_scripts

REPLICA_MARK: Final = "CALOTYPE_REPLICA"
"""In the environment of a replica and of all that it starts: its name."""

_PACKAGES: Final = str(Path(calotype.__file__).parents[1])


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a process that opens the workspace, with calotype to be found."""
    return _with_packages(for_ours(os.environ), variables)


def _with_packages(given: dict[str, str], variables: dict[str, str]) -> dict[str, str]:
    ours = {name: value for name, value in given.items() if name != REPLICA_MARK}
    known = [part for part in ours.get("PYTHONPATH", "").split(os.pathsep) if part]
    paths = known if _PACKAGES in known else [_PACKAGES, *known]
    return {**ours, "PYTHONPATH": os.pathsep.join(paths), **variables}


def start_keeper(root: Path) -> None:
    """Start a process that becomes the keeper of `root`, now or when the present one ends.

    Raises:
        OSError: it cannot be started.
    """
    run = root / "run"
    run.mkdir(parents=True, exist_ok=True)
    with open(RotatingLog(run / "keeper.log").open(), "r+b", buffering=0) as log:
        # It forks and leaves at once.
        subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "calotype.hosting.standby", str(root)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(),
            cwd=root,
            start_new_session=True,
            check=False,
        )


def start_replica(
    document: dict[str, Any], log: Path, *, name: str, descriptors: tuple[int, ...]
) -> subprocess.Popen[bytes]:
    """Start a replica; its plan goes through a pipe, as it has secrets.

    Raises:
        OSError: it cannot be started.
    """
    with open(RotatingLog(log).open(), "r+b", buffering=0) as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "calotype.hosting.replica"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=_with_packages(for_scripts(os.environ), {REPLICA_MARK: name}),
            cwd=log.parent,
            start_new_session=True,
            pass_fds=descriptors,
        )
    assert process.stdin is not None
    with process.stdin as pipe:
        pipe.write(json.dumps(document).encode())
    return process
