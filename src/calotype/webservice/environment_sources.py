"""Environments made of files: of conda, of pip, of docker."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calotype import errors
from calotype.webservice import unsupported
from calotype.webservice.conda_dependencies import CondaDependencies
from calotype.webservice.exceptions import told_as

if TYPE_CHECKING:
    from calotype.webservice.environment import Environment


class EnvironmentSources:
    """Functions of `Environment` that make one."""

    @staticmethod
    def from_conda_specification(name: str, file_path: str | Path) -> Environment:
        """Return an environment with the packages of a conda file.

        Raises:
            WebserviceException: it cannot be read.
        """
        made = _empty(name)
        made.python.conda_dependencies = CondaDependencies(file_path)
        if made.python.conda_dependencies.conda_packages:
            unsupported.ignore("conda")
        return made

    @staticmethod
    def from_pip_requirements(
        name: str, file_path: str | Path, pip_version: str | None = None
    ) -> Environment:
        """Return an environment with the packages of a requirements file.

        Args:
            name: of the environment.
            file_path: the file.
            pip_version: has no meaning here.

        Raises:
            WebserviceException: it cannot be read.
        """
        if pip_version is not None:
            unsupported.ignore("pip_version")
        made = _empty(name)
        for line in _requirements(Path(file_path)):
            if line.startswith("-"):
                made.python.conda_dependencies.set_pip_option(line)
            else:
                made.python.conda_dependencies.add_pip_package(line)
        return made

    @staticmethod
    def from_existing_conda_environment(name: str, conda_environment_name: str) -> Environment:
        """Return an environment that runs in the Python of a conda environment of this machine.

        Raises:
            WebserviceException: there is none of that name.
        """
        made = _empty(name)
        with told_as():
            made.python.interpreter_path = _conda_python(conda_environment_name)
        made.python.user_managed_dependencies = True
        return made

    @staticmethod
    def from_docker_image(
        name: str,
        image: str,
        container_registry: Any = None,
        conda_specification: str | Path | None = None,
        pip_requirements: str | Path | None = None,
    ) -> Environment:
        """Return an environment for packages of services on an image; see `Model.package`.

        Services here run without the image: in the Python of this machine, which has to have the
        packages.
        """
        unsupported.ignore_given(container_registry=container_registry)
        made = EnvironmentSources._from_files(name, conda_specification, pip_requirements)
        made.docker.base_image = image
        return made

    @staticmethod
    def from_dockerfile(
        name: str,
        dockerfile: str | Path,
        conda_specification: str | Path | None = None,
        pip_requirements: str | Path | None = None,
    ) -> Environment:
        """Return an environment for packages of services on a Dockerfile, given as path or text."""
        made = EnvironmentSources._from_files(name, conda_specification, pip_requirements)
        text = str(dockerfile)
        is_file = "\n" not in text and Path(text).is_file()
        made.docker.base_dockerfile = Path(text).read_text("utf-8") if is_file else text
        return made

    @staticmethod
    def from_docker_build_context(name: str, docker_build_context: Any) -> Environment:
        """Return an environment for packages of services on the Dockerfile of a folder."""
        folder = getattr(docker_build_context, "location", docker_build_context)
        named = getattr(docker_build_context, "dockerfile_path", "Dockerfile")
        return EnvironmentSources.from_dockerfile(name, Path(str(folder)) / str(named))

    @staticmethod
    def _from_files(
        name: str,
        conda_specification: str | Path | None,
        pip_requirements: str | Path | None,
    ) -> Environment:
        if conda_specification is not None:
            return EnvironmentSources.from_conda_specification(name, conda_specification)
        if pip_requirements is not None:
            return EnvironmentSources.from_pip_requirements(name, pip_requirements)
        return _empty(name)


def _empty(name: str) -> Environment:
    from calotype.webservice.environment import Environment

    return Environment(name)


def _requirements(path: Path) -> list[str]:
    with told_as():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise errors.UnreadableFile(
                "expected a requirements file", where=str(path), got=str(error)
            ) from error
    lines = (line.partition(" #")[0].strip() for line in text.replace("\\\n", " ").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _conda_python(name: str, variables: Mapping[str, str] = os.environ) -> str:
    """Return the Python of a conda environment; a path is one too."""
    roots = [Path(name)]
    prefix = variables.get("CONDA_PREFIX", "")
    if prefix:
        roots.append(Path(prefix) / "envs" / name)
    if program := variables.get("CONDA_EXE", ""):
        roots.append(Path(program).parents[1] / "envs" / name)
    for root in roots:
        python = root / ("python.exe" if sys.platform == "win32" else "bin/python")
        if python.is_file():
            return str(python)
    raise errors.NotFound(
        f"expected a conda environment '{name}'",
        where="this machine",
        got="none of that name",
        action="Activate conda first, or give the folder of the environment.",
    )
