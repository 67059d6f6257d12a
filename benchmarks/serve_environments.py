"""The peers of the scoring service, each in an environment of its own that is made once.

The versions are those that docs/explanation/performance.md names. None of them needs torch.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

DEFAULT_FOLDER = Path.home() / ".cache" / "calotype-benchmarks"
_STAMP = "installed.txt"

_RUNTIME = ("numpy==2.4.6", "onnxruntime==1.31.1", "pillow==13.0.0")

REQUIREMENTS: Mapping[str, Sequence[str]] = {
    "azml": (
        *("azureml-inference-server-http==1.5.1", "flask==3.1.3", "werkzeug==3.1.9"),
        *("gunicorn==27.0.1", "inference-schema==1.8", "pydantic==2.12.5", "scikit-learn==1.9.1"),
        *_RUNTIME,
    ),
    "litserve": ("litserve==0.2.19", *_RUNTIME),
    "bentoml": ("bentoml==1.4.39", *_RUNTIME),
    # Its parallel workers die with uvloop 0.22 and later.
    "mlserver": ("mlserver==1.7.1", "uvloop<0.22", *_RUNTIME),
    "ray": ("ray[serve]==2.60.0", *_RUNTIME),
}


def programs_of(peer: str, folder: Path) -> Path:
    """Return the folder of a peer's programs, after installing it when it is not there yet.

    Args:
        peer: one of `REQUIREMENTS`.
        folder: holds one environment for each peer.
    """
    environment = folder / peer
    wanted = "\n".join(REQUIREMENTS[peer])
    stamp = environment / _STAMP
    if not (stamp.exists() and stamp.read_text(encoding="utf-8") == wanted):
        print(f"installing {peer} into {environment}", file=sys.stderr)
        venv.create(environment, clear=True, with_pip=True)
        pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "-qq"]
        subprocess.run([*pip, *REQUIREMENTS[peer]], check=True)
        stamp.write_text(wanted, encoding="utf-8")  # last: an installation that broke is redone
    return environment / "bin"
