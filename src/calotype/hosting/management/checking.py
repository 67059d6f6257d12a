"""What a deployment must be before anything is written about it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from calotype import errors
from calotype.serving.no_code.sklearn_script import PICKLE_SUFFIXES, SAFE_SUFFIX
from calotype.serving.settings import NAME_RULE
from calotype.workspace.service_settings import Inference, RuntimeSettings, Target
from calotype.workspace.workspace import Workspace

if TYPE_CHECKING:
    from calotype.workspace.registered_model import RegisteredModel

_VERSION_RULE = r"^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$"


def check_name(name: str) -> None:
    """Refuse what is no name of a service.

    Raises:
        UnparsableValue: it breaks the rule.
    """
    if re.fullmatch(NAME_RULE, name) is None:
        raise errors.UnparsableValue(
            "expected 3 to 32 lower-case letters, digits and dashes, a letter first and no dash "
            "last",
            where="name of the service",
            got=repr(name),
        )


def check_version_name(name: str) -> None:
    """Refuse what is no name of a version.

    Raises:
        UnparsableValue: it breaks the rule.
    """
    if re.fullmatch(_VERSION_RULE, name) is None:
        raise errors.UnparsableValue(
            "expected 1 to 32 lower-case letters, digits and dashes, a letter first and no dash "
            "last",
            where="name of the version",
            got=repr(name),
        )


def resolved(workspace: Workspace, references: Sequence[str]) -> tuple[str, ...]:
    """Return `name:version` of registered models; without a version the latest is meant.

    Raises:
        NotFound: there is none.
        UnparsableValue: one is named twice.
    """
    found = tuple(_find(workspace, reference).id for reference in references)
    for model in found:
        if found.count(model) > 1:
            raise errors.UnparsableValue(
                "expected each model once", where="models", got=f"'{model}' twice"
            )
    return found


def check_inference(
    workspace: Workspace, models: Sequence[str], inference: Inference, runtime: RuntimeSettings
) -> None:
    """Refuse what no replica could start: no such script, or models that need one.

    Raises:
        NotFound: a model or the entry script does not exist.
        InvalidModel: the models cannot be served without an entry script.
    """
    if inference.entry_script:
        _check_script(workspace, inference)
        return
    if inference.source or inference.live_source:
        raise errors.EmptyInput(
            "expected the entry script in the source directory",
            where="entry_script",
            got="none",
            action="Name it, below the source directory, or leave the source directory out.",
        )
    if len(models) != 1:
        raise errors.InvalidModel(
            "expected one model, or an entry script",
            where="models",
            got=f"{len(models)} models without one" if models else "neither",
            action="Give --entry-script score.py (entry_script=…).",
        )
    _check_servable(workspace, models[0], runtime)


def check_runtime(target: Target, runtime: RuntimeSettings) -> None:
    """Refuse settings that contradict each other or the target; all at once.

    Raises:
        UnparsableValue: with each of them.
    """
    problems = [*_contradictions(runtime)]
    if target in ("local", "instance") and (runtime.num_replicas or 1) > 1:
        problems.append(f"num_replicas: target '{target}' has one replica; 'cluster' has more")
    if problems:
        raise errors.UnparsableValue(
            "expected settings that fit together", where="runtime", got="; ".join(problems)
        )


def _contradictions(runtime: RuntimeSettings) -> list[str]:
    problems: list[str] = []
    if runtime.cpu_cores_limit is not None and runtime.cpu_cores_limit < runtime.cpu_cores:
        problems.append(
            f"cpu_cores_limit {runtime.cpu_cores_limit:g} is less than cpu_cores "
            f"{runtime.cpu_cores:g}"
        )
    if runtime.memory_gb_limit is not None and runtime.memory_gb_limit < runtime.memory_gb:
        problems.append(
            f"memory_gb_limit {runtime.memory_gb_limit:g} is less than memory_gb "
            f"{runtime.memory_gb:g}"
        )
    if runtime.autoscale_min_replicas > runtime.autoscale_max_replicas:
        problems.append(
            f"autoscale_min_replicas {runtime.autoscale_min_replicas} is more than "
            f"autoscale_max_replicas {runtime.autoscale_max_replicas}"
        )
    return problems


def _find(workspace: Workspace, reference: str) -> RegisteredModel:
    if not reference:
        raise errors.EmptyInput("expected the name of a registered model", where="models")
    return workspace.models.find(reference)


def _check_script(workspace: Workspace, inference: Inference) -> None:
    script = inference.entry_script
    if inference.source:
        paths = [entry.path for entry in workspace.artifacts.tree(inference.source).entries]
        is_there = script in paths
        near = errors.suggest(script, paths)
    else:
        is_there = (Path(inference.live_source) / script).is_file()
        near = ""
    if not is_there:
        raise errors.NotFound(
            "expected the entry script in the source directory",
            where=script,
            got="none of that name",
            action=near or "Give its path below the source directory.",
        )


def _check_servable(workspace: Workspace, reference: str, runtime: RuntimeSettings) -> None:
    model = _find(workspace, reference)
    paths = [entry.path for entry in workspace.artifacts.tree(model.artifact).entries]
    suffixes = [PurePosixPath(path).suffix.lower() for path in paths]
    if model.kind == "image" or suffixes.count(".onnx") == 1:
        return
    is_sklearn = model.framework == "ScikitLearn" or model.kind == "sklearn"
    if is_sklearn and suffixes.count(SAFE_SUFFIX) == 1:
        return
    if not is_sklearn or sum(suffix in PICKLE_SUFFIXES for suffix in suffixes) != 1:
        raise errors.InvalidModel(
            "expected an image model, one .onnx file or a scikit-learn model (.skops), which can "
            "be served without code",
            where=f"model '{reference}', framework {model.framework}",
            got=_listed(paths),
            action="Give --entry-script score.py (entry_script=…).",
        )
    if not runtime.allow_pickle:
        raise errors.InvalidModel(
            "expected a model that can be loaded without running code from it (.skops)",
            where=f"model '{reference}'",
            got=_listed(paths),
            action="Save it with skops.io.dump(model, 'model.skops'), or, when you made the file "
            "yourself, pass allow_pickle=True to deploy_configuration (--allow-pickle).",
        )


def _listed(paths: Sequence[str], most: int = 3) -> str:
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(paths[:most]) + more
