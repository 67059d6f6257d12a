"""How a scikit-learn model is served: as an entry script of ours, in worker processes.

Its predictions hold the interpreter lock, so processes, not threads, share them out.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from calotype import errors

SAFE_SUFFIX = ".skops"
PICKLE_SUFFIXES = (".joblib", ".pkl", ".pickle")

MODEL_FILE = "CALOTYPE_MODEL_FILE"
"""Environment variable with the name of the model's file in the model folder."""

ALLOW_PICKLE = "CALOTYPE_ALLOW_PICKLE"
"""Environment variable that is `1` when a file may run code of its own while it is loaded."""

MAX_JSON_DEPTH = "CALOTYPE_MAX_JSON_DEPTH"
"""Environment variable with the setting `max_json_depth` of the service."""


class ModelScript(NamedTuple):
    """What the processes of a service have to run.

    Attributes:
        script: path of the entry script.
        model_dir: for `AZUREML_MODEL_DIR`.
        environment: further variables.
    """

    script: Path
    model_dir: Path
    environment: dict[str, str]


def script_for(model: Path, *, allow_pickle: bool = False, max_json_depth: int = 64) -> ModelScript:
    """Return the entry script that serves a scikit-learn model.

    Args:
        model: a `.skops` file, or a folder with one; `.joblib` and `.pkl` when they are allowed.
        allow_pickle: trust the file to run code while it is loaded.
        max_json_depth: 400 for a body that is nested deeper.

    Raises:
        ModelError: there is no such model, there are several, or pickle is not allowed.
    """
    path = _only_model(model, allow_pickle) if model.is_dir() else model
    if not path.is_file():
        raise errors.InvalidModel("expected a file", where=str(path), got="none of that name")
    if path.suffix.lower() in PICKLE_SUFFIXES and not allow_pickle:
        raise errors.InvalidModel(
            "expected a model that can be loaded without running code from it (.skops)",
            where=str(path),
            got=f"'{path.suffix}', which is pickle",
            action="Save it with skops.io.dump(model, 'model.skops'), or, when you made the file "
            "yourself, add --allow-pickle.",
        )
    if path.suffix.lower() not in (SAFE_SUFFIX, *PICKLE_SUFFIXES):
        raise errors.InvalidModel(
            "expected a scikit-learn model in a .skops file", where=str(path), got=f"'{path.name}'"
        )
    environment = {MODEL_FILE: path.name, MAX_JSON_DEPTH: str(max_json_depth)}
    if allow_pickle:
        environment[ALLOW_PICKLE] = "1"
    script = Path(__file__).parent / "sklearn_entry" / "score.py"
    return ModelScript(script, path.parent.absolute(), environment)


def _only_model(folder: Path, allow_pickle: bool) -> Path:
    safe = sorted(folder.glob(f"*{SAFE_SUFFIX}"))
    pickled = [path for path in sorted(folder.iterdir()) if path.suffix in PICKLE_SUFFIXES]
    # Without leave to load it, a pickle alone is taken too: its refusal says what can be done.
    found = safe + pickled if allow_pickle else safe or pickled
    if len(found) == 1:
        return found[0]
    raise errors.InvalidModel(
        f"expected one model ({SAFE_SUFFIX})",
        where=str(folder),
        got=", ".join(path.name for path in found) or "none",
        action="Name the file itself.",
    )
