"""Whether an interpreter has the packages that an environment asks for."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shlex
import subprocess
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from calotype import errors
from calotype.webservice.conda_dependencies import package_name
from calotype.workspace.environments import EnvironmentDefinition

_TIME_LIMIT_S: Final = 60
# What the retired product needed inside its containers; its part for scripts comes with Calotype.
_NEEDED_NO_MORE: Final = ("azureml-", "azure-ml-api-sdk")
_LIST: Final = (
    "import importlib.metadata as m, json, platform; print(json.dumps({'python': "
    "platform.python_version(), **{d.metadata['Name']: d.version for d in m.distributions() "
    "if d.metadata['Name']}}))"
)
BUILD_PYTHON: Final = (
    "call environment.build_local(workspace), which installs what it names in a Python of its own"
)
"""Advice for callers of the SDK."""


class OtherVersion(UserWarning):
    """A package is there in another version than an environment names."""


def check_packages(definition: EnvironmentDefinition, interpreter: str) -> None:
    """Refuse an environment whose packages the interpreter does not have.

    A package of another version than it names only brings a warning: old scripts name old ones.

    Args:
        definition: what is asked for; nothing is checked for one that its user manages.
        interpreter: the Python that will run the script; empty for ours.

    Raises:
        MissingDependency: packages are missing; the message has the command of pip (2001).
        NotFound: there is no such interpreter (2004).
    """
    if interpreter and not Path(interpreter).exists():
        raise errors.NotFound(
            "expected the Python of the environment",
            where=interpreter,
            got="no file",
            action=f"Name one that is there, or {BUILD_PYTHON}.",
        )
    if definition.is_user_managed:
        return
    wanted = [*definition.pip_requirements, *map(_of_conda, definition.conda_dependencies)]
    wanted = [line for line in wanted if not _is_needed_no_more(line)]
    there = _installed(interpreter) if wanted or definition.python_version else {}
    missing = [line for line in wanted if _applies(line) and package_name(line) not in there]
    if missing:
        raise errors.MissingDependency(
            "expected packages that the environment names",
            where=f"environment '{definition.name}'",
            got=f"an interpreter without {', '.join(map(package_name, missing))}",
            action=f"Run `{_command(interpreter, missing)}`, or {BUILD_PYTHON}.",
        )
    _warn_of_others(definition, wanted, there)


def _warn_of_others(
    definition: EnvironmentDefinition, wanted: Iterable[str], there: dict[str, str]
) -> None:
    asked = f"python=={definition.python_version}.*"
    others = [
        f"{line.removesuffix('.*')} (there is {there[package_name(line)]})"
        for line in (*wanted, *([asked] if definition.python_version else []))
        if package_name(line) in there and not _fits(line, there[package_name(line)])
    ]
    if others:
        warnings.warn(
            f"environment '{definition.name}' names other versions: {', '.join(others)}. "
            f"To have exactly these, {BUILD_PYTHON}.",
            OtherVersion,
            stacklevel=5,
        )


def _installed(interpreter: str) -> dict[str, str]:
    """Return the packages that an interpreter sees, by normal name, and it, with versions."""
    if not interpreter or interpreter == sys.executable:
        found = {
            one.metadata["Name"]: one.version
            for one in importlib.metadata.distributions()
            if one.metadata["Name"]
        } | {"python": platform.python_version()}
    else:
        try:
            done = subprocess.run(  # noqa: S603 - the interpreter that the user named
                [interpreter, "-c", _LIST],
                capture_output=True,
                text=True,
                check=True,
                timeout=_TIME_LIMIT_S,
            )
            found: dict[str, str] = json.loads(done.stdout)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise errors.OperationFailed(
                "expected a Python that tells what packages it has",
                where=interpreter,
                got=str(error),
            ) from error
    return {package_name(name): version for name, version in found.items()}


def _of_conda(line: str) -> str:
    """Return what conda calls `numpy=2.1` as pip does."""
    name, equals, version = line.rpartition("::")[2].partition("=")
    if not equals or name.endswith(("<", ">", "!", "~")) or version.startswith("="):
        return line.rpartition("::")[2]
    return f"{name}=={version.partition('=')[0]}.*"


def _is_needed_no_more(line: str) -> bool:
    return package_name(line).startswith(_NEEDED_NO_MORE)


def _applies(line: str) -> bool:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        marker = Requirement(line).marker
    except InvalidRequirement:  # the address of a wheel
        return True
    return marker is None or marker.evaluate()


def _fits(line: str, version: str) -> bool:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(line).specifier.contains(version, prereleases=True)
    except InvalidRequirement:
        return True


def _command(interpreter: str, missing: Sequence[str]) -> str:
    return shlex.join([interpreter or sys.executable, "-m", "pip", "install", *missing])
