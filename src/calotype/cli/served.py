"""What `calotype serve` serves: a model, a script, or the script that goes with a model."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from calotype import errors

if TYPE_CHECKING:
    from calotype.serving.deployment import Deployment


def with_model(deployment: Deployment, model: str, *, allow_pickle: bool) -> Deployment:
    """Fill in the model, or the script that runs a scikit-learn model."""
    if Path(model).suffix.lower() not in (".skops", ".joblib", ".pkl"):
        if deployment.front.service.workers > 1:
            raise click.UsageError(
                "--workers belongs to --entry-script: a model uses all cores in one process "
                "(--threads)."
            )
        deployment = replace(deployment, model=model)
        if deployment.kind == "onnx":
            _check_exists(Path(model))
        return deployment
    _check_exists(Path(model))
    _check_installed("sklearn", *(["skops"] if Path(model).suffix.lower() == ".skops" else []))
    from calotype.serving.no_code.sklearn_script import script_for

    depth = deployment.front.service.max_json_depth
    entry = script_for(Path(model), allow_pickle=allow_pickle, max_json_depth=depth)
    made = with_script(deployment, entry.script, None, entry.model_dir)
    assert made.script is not None
    return replace(made, script=replace(made.script, environment=dict(entry.environment)))


def with_script(
    deployment: Deployment, script: Path, source_directory: Path | None, model_dir: Path | None
) -> Deployment:
    """Fill in a script and its folders."""
    from calotype.serving.entry.fork_client import ForkConfiguration

    for place in filter(None, (script, source_directory, model_dir)):
        _check_exists(place)
    limits = deployment.front.service
    source = source_directory or script.parent
    return replace(
        deployment,
        script=ForkConfiguration(
            script.resolve(),
            source_directory=source.resolve(),
            model_directory=model_dir.resolve() if model_dir else None,
            timeout_ms=limits.scoring_timeout_ms,
            max_json_depth=limits.max_json_depth,
            max_multipart_parts=limits.max_multipart_parts,
            log_format=deployment.front.log_format,
        ),
        front=replace(deployment.front, source_directory=str(source.resolve())),
    )


def _check_exists(place: Path) -> None:
    if not place.exists():
        raise errors.UnreadableFile(
            "expected a file or folder",
            where=str(place),
            got="nothing there",
            action="Check the path.",
        )


def _check_installed(*packages: str) -> None:
    """Ask before any process is started: it could only fail with a trace."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise errors.MissingDependency(
                f"expected the package {package}",
                where="calotype serve --model",
                got="none",
                action="Install it: pip install 'calotype[sklearn]'.",
            )
