"""Whether an interpreter has the packages that an environment asks for."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shlex
import subprocess
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from calotype import errors
from calotype.webservice.conda_dependencies import is_needed_no_more, package_name, says_name
from calotype.webservice.conda_package import pip_line
from calotype.workspace.environments import EnvironmentDefinition

_TIME_LIMIT_S: Final = 60
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

    When nothing is missing, packages of other versions than it names only bring a warning: old
    scripts name old ones. Both have the command that installs all of what is named.

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
    is_asked = definition.pip_requirements or definition.conda_dependencies
    there = _installed(interpreter) if is_asked or definition.python_version else {}
    of_conda = [pip_line(one, installed=there) for one in definition.conda_dependencies]
    lines = [*definition.pip_requirements, *filter(None, of_conda)]
    # What does not say its name may be there or not: nobody can look.
    named = [line for line in lines if says_name(line)]
    wanted = [line for line in named if not is_needed_no_more(line) and _applies(line)]
    missing = [line for line in wanted if package_name(line) not in there]
    others = [line for line in wanted if line not in missing and not _fits(line, there)]
    command = _command(interpreter, [*missing, *others])
    if missing:
        besides = f"; and with other versions: {_shown(others, there)}" if others else ""
        raise errors.MissingDependency(
            "expected packages that the environment names",
            where=f"environment '{definition.name}'",
            got=f"an interpreter without {', '.join(map(package_name, missing))}{besides}",
            action=f"Run `{command}`, or {BUILD_PYTHON}.",
        )
    python = f"python=={definition.python_version}.*"
    of_python = [python] if definition.python_version and not _fits(python, there) else []
    if others or of_python:
        mended = f" `{command}` installs them." if others else ""
        warnings.warn(
            f"environment '{definition.name}' names other versions: "
            f"{_shown([*others, *of_python], there)}.{mended} To have exactly these, "
            f"{BUILD_PYTHON}.",
            OtherVersion,
            stacklevel=4,
        )


def _shown(lines: Iterable[str], there: Mapping[str, str]) -> str:
    return ", ".join(
        f"{line.removesuffix('.*')} (there is {there[package_name(line)]})" for line in lines
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


def _applies(line: str) -> bool:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        marker = Requirement(line).marker
    except InvalidRequirement:  # the address of a wheel
        return True
    return marker is None or marker.evaluate()


def _fits(line: str, there: Mapping[str, str]) -> bool:
    from packaging.requirements import InvalidRequirement, Requirement

    version = there[package_name(line)]
    try:
        return Requirement(line).specifier.contains(version, prereleases=True)
    except InvalidRequirement:
        return True


def _command(interpreter: str, missing: Sequence[str]) -> str:
    return shlex.join([interpreter or sys.executable, "-m", "pip", "install", *missing])
