"""Environments under the names of the retired SDK: what an entry script needs to run."""

from __future__ import annotations

import copy
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NoReturn, Self

from calotype import errors, files
from calotype.webservice import unsupported
from calotype.webservice.conda_dependencies import CondaDependencies
from calotype.webservice.environment_sections import DockerSection, PythonSection
from calotype.webservice.environment_sources import EnvironmentSources
from calotype.webservice.exceptions import told_as
from calotype.webservice.local_environment import build, interpreter_of
from calotype.webservice.retired import Retired
from calotype.webservice.version_number import version_of
from calotype.workspace.environments import EnvironmentDefinition
from calotype.workspace.naming import checked_texts
from calotype.workspace.workspace import Workspace

_CURATED: Final = "AzureML-"
_DEFINITION: Final = "azureml_environment.json"


class Environment(EnvironmentSources):
    """Packages, variables and the Python of an entry script.

    Args:
        name: to register it by.

    Attributes:
        version: given at registration; None before.
        environment_variables: for the script.
        python: see `PythonSection`.
        docker: see `DockerSection`.
        tags: names and values.
        labels: of the registered version.
    """

    r = Retired()
    spark = Retired()

    def __init__(self, name: str, **retired: Any) -> None:
        unsupported.ignore_retired(retired, "", of="Environment")
        self.name = name
        self.version: str | None = None
        self.environment_variables: dict[str, str] = {}
        self.python = PythonSection()
        self.docker = DockerSection()
        self.tags: dict[str, str] = {}
        self.labels: list[str] = []
        self.inferencing_stack_version: str | None = None

    def __repr__(self) -> str:
        return f"Environment(name={self.name!r}, version={self.version!r})"

    @classmethod
    def from_definition(cls, definition: EnvironmentDefinition) -> Self:
        """Return the environment that the workspace knows as `definition`."""
        made = cls(definition.name)
        made.version = None if definition.version is None else str(definition.version)
        made.environment_variables = dict(definition.environment_variables)
        made.tags = dict(definition.tags)
        packages = CondaDependencies.create(
            pip_packages=definition.pip_requirements,
            conda_packages=definition.conda_dependencies,
            python_version=definition.python_version,
        )
        for option in definition.pip_options:
            packages.set_pip_option(option)
        for channel in definition.conda_channels:
            packages.add_channel(channel)
        made.python = PythonSection(
            definition.interpreter or None, definition.is_user_managed, packages
        )
        made.docker = DockerSection(
            definition.base_image or None,
            definition.dockerfile or None,
            definition.docker_registry or None,
        )
        return made

    def definition(self) -> EnvironmentDefinition:
        """Return this as the workspace knows it."""
        packages = self.python.conda_dependencies
        docker = self.docker
        return EnvironmentDefinition(
            name=self.name,
            version=version_of(self.version or None),
            interpreter=str(self.python.interpreter_path or ""),
            python_version=packages.python_version,
            pip_requirements=tuple(packages.pip_packages),
            pip_options=tuple(packages.pip_options),
            conda_dependencies=tuple(packages.conda_packages),
            conda_channels=tuple(packages.conda_channels),
            is_user_managed=self.python.user_managed_dependencies,
            environment_variables={
                key: str(value) for key, value in self.environment_variables.items()
            },
            base_image=docker.base_image or "",
            dockerfile=docker.base_dockerfile or "",
            docker_registry=docker.base_image_registry or "",
            tags=checked_texts(self.tags, what="tags"),
        )

    @classmethod
    def get(
        cls,
        workspace: Workspace,
        name: str,
        version: str | int | None = None,
        label: str | None = None,
    ) -> Self:
        """Return a registered environment: that version, the one with that label, or the latest.

        Raises:
            WebserviceException: there is none.
        """
        if name.startswith(_CURATED) and not workspace.environments.list(name):
            unsupported.ignore(f"{_CURATED}…", stacklevel=2)
            return cls(name)
        with told_as():
            found = workspace.environments.get(name, version_of(version), label=label)
            return cls.from_definition(found)

    @classmethod
    def list(cls, workspace: Workspace) -> dict[str, Self]:
        """Return the latest version of every registered environment, by name."""
        return {
            one.name: cls.from_definition(one) for one in workspace.environments.list(latest=True)
        }

    def register(self, workspace: Workspace) -> Self:
        """Register this, unless the latest version of its name is the same; return what is there.

        Raises:
            WebserviceException: the name is none.
        """
        with told_as():
            known = workspace.environments.register(self.definition())
        self.version = str(known.version)
        return type(self).from_definition(known)

    @staticmethod
    def label(workspace: Workspace, name: str, version: str | int, labels: Iterable[str]) -> None:
        """Give a registered version labels, and take them from the one that had them.

        Raises:
            WebserviceException: there is no such version.
        """
        with told_as():
            number = version_of(version)
            if number is None:
                number = int(workspace.environments.get(name).version or 0)
            workspace.environments.label(name, number, labels)

    def clone(self, new_name: str) -> Self:
        """Return a copy, which is not registered."""
        made = copy.deepcopy(self)
        made.name, made.version = new_name, None
        return made

    def build(self, workspace: Workspace, image_build_compute: Any = None) -> Self:
        """Have the packages installed, as `build_local` does, and return this."""
        unsupported.ignore_given(image_build_compute=image_build_compute)
        self.build_local(workspace)
        return self

    def build_local(self, workspace: Workspace, platform: str | None = None, **retired: Any) -> str:
        """Make a Python of its own for this below the workspace; pip installs what is missing.

        Deploying finds it there by what is asked for.

        Returns:
            The path of its Python.

        Raises:
            WebserviceException: pip could not install something.
        """
        unsupported.ignore_given(platform=platform)
        unsupported.ignore_retired(
            retired, "useDocker pushImageToWorkspaceAcr", of="Environment.build_local"
        )
        with told_as():
            if self.python.interpreter_path:
                return str(self.python.interpreter_path)
            return build(workspace, self.definition())

    def interpreter(self, workspace: Workspace) -> str:
        """Return the Python that a service with this environment runs its script with."""
        return interpreter_of(workspace, self.definition()) or sys.executable

    def get_image_details(self, workspace: Workspace) -> NoReturn:
        """There are no images here.

        Raises:
            WebserviceException: always.
        """
        unsupported.refuse("get_image_details")

    def save_to_directory(self, path: str | Path, overwrite: bool = False) -> None:
        """Write this into a folder.

        Raises:
            WebserviceException: there is something, and `overwrite` is false.
        """
        folder = Path(path)
        with told_as():
            if folder.exists() and any(folder.iterdir()) and not overwrite:
                raise errors.AlreadyExists(
                    "expected a new folder",
                    where=str(folder),
                    got="one with files",
                    action="Choose another, or say overwrite=True.",
                )
            folder.mkdir(parents=True, exist_ok=True)
            files.write_json(folder / _DEFINITION, self.definition().to_document())
            self.python.conda_dependencies.save(folder)
            if self.docker.base_dockerfile:
                files.write_text(folder / "BaseDockerfile", self.docker.base_dockerfile)

    @classmethod
    def load_from_directory(cls, path: str | Path) -> Self:
        """Return what `save_to_directory` wrote.

        Raises:
            WebserviceException: it cannot be read.
        """
        with told_as():
            document = files.read_json(Path(path) / _DEFINITION)
            return cls.from_definition(EnvironmentDefinition.of_document(document))

    @staticmethod
    def add_private_pip_wheel(
        workspace: Workspace, file_path: str | Path, exist_ok: bool = False
    ) -> str:
        """Copy a wheel into the workspace and return its address, for `add_pip_package`.

        Raises:
            WebserviceException: there is no such file; or there is one of that name already, and
                `exist_ok` is false.
        """
        source = Path(file_path)
        target = workspace.place.root / "wheels" / source.name
        with told_as():
            if target.exists() and not exist_ok:
                raise errors.AlreadyExists(
                    "expected a new wheel",
                    where=source.name,
                    got="one of that name",
                    action="Say exist_ok=True to use the one that is there.",
                )
            if not target.exists():
                try:
                    with files.aside(target) as temporary:
                        shutil.copyfile(source, temporary)
                except FileNotFoundError as error:
                    raise errors.UnreadableFile(
                        "expected a wheel", where=str(source), got="no file"
                    ) from error
        return target.as_uri()
