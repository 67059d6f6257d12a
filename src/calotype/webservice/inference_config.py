"""What runs the models of a service: an entry script, its folder, and its environment."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Final

from calotype.webservice import unsupported
from calotype.webservice.environment import Environment
from calotype.webservice.exceptions import WebserviceException, told_as
from calotype.webservice.local_environment import interpreter_of
from calotype.webservice.required_packages import check_packages
from calotype.workspace.environments import EnvironmentDefinition
from calotype.workspace.service_settings import Inference
from calotype.workspace.workspace import Workspace

_RUNTIMES: Final = ("python", "spark-py")


class InferenceConfig:
    """How models are run.

    Args:
        entry_script: the script with `init` and `run`; below `source_directory` when that is
            given.
        runtime: older way: only "python".
        conda_file: older way: a conda file, below `source_directory` or from the working folder.
        extra_docker_file_steps: has no meaning here.
        source_directory: its files come with the script.
        enable_gpu: has no meaning here.
        description: for people.
        base_image: older way; has no meaning here.
        base_image_registry: has no meaning here.
        cuda_version: has no meaning here.
        environment: what the script needs; excludes the older ways.

    Raises:
        WebserviceException: a path does not exist, or two ways are mixed.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - as in the retired SDK
        self,
        entry_script: str | Path | None = None,
        runtime: str | None = None,
        conda_file: str | Path | None = None,
        extra_docker_file_steps: str | None = None,
        source_directory: str | Path | None = None,
        enable_gpu: bool | None = None,
        description: str | None = None,
        base_image: str | None = None,
        base_image_registry: Any = None,
        cuda_version: str | None = None,
        environment: Environment | None = None,
    ) -> None:
        self.source_directory = str(source_directory) if source_directory is not None else None
        self.entry_script = str(entry_script) if entry_script is not None else None
        self.runtime = runtime
        self.conda_file = str(conda_file) if conda_file is not None else None
        self.base_image = base_image
        self.description = description
        self.environment = environment
        older = {
            "runtime": runtime,
            "conda_file": conda_file,
            "extra_docker_file_steps": extra_docker_file_steps,
            "enable_gpu": enable_gpu,
            "base_image": base_image,
            "base_image_registry": base_image_registry,
            "cuda_version": cuda_version,
        }
        self._check_ways([name for name, value in older.items() if value is not None])
        self.validate_configuration()
        for name in ("runtime", "conda_file"):
            del older[name]
        if (runtime or "").lower() == "spark-py":
            older["spark-py"] = runtime
        unsupported.ignore_given(stacklevel=3, **older)

    def _check_ways(self, older: list[str]) -> None:
        if self.environment is None:
            return
        if not isinstance(self.environment, Environment):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise WebserviceException(
                "expected an Environment",
                where="InferenceConfig, environment",
                got=type(self.environment).__name__,
            )
        if older:
            raise WebserviceException(
                "expected an environment, or the older parameters, not both",
                where="InferenceConfig",
                got=f"environment and {', '.join(older)}",
            )

    def validate_configuration(self) -> None:
        """Check that what is named exists.

        Raises:
            WebserviceException: it does not.
        """
        folder = self._folder
        if self.source_directory is not None and not folder.is_dir():
            raise _missing("source_directory", self.source_directory, "folder")
        if self.entry_script is None:
            if self.source_directory is not None:
                raise WebserviceException(
                    "expected an entry script with a source directory",
                    where="InferenceConfig, entry_script",
                    got="none",
                )
        elif not self._is_there(folder, Path(self.entry_script)):
            raise _missing("entry_script", f"{self.entry_script}{self._near}", "file")
        elif not self.entry_script.endswith(".py"):
            raise WebserviceException(
                "expected a Python file",
                where="InferenceConfig, entry_script",
                got=self.entry_script,
            )
        if self.conda_file is not None and self._conda_path is None:
            raise _missing("conda_file", f"{self.conda_file}{self._near}", "file")
        if self.runtime is not None and self.runtime.lower() not in _RUNTIMES:
            raise WebserviceException(
                "expected 'python'", where="InferenceConfig, runtime", got=repr(self.runtime)
            )

    def _is_there(self, folder: Path, script: Path) -> bool:
        for place in (folder / script, script):  # below the folder, or named from here
            if place.is_file() and place.resolve().is_relative_to(folder.resolve()):
                return True
        return self.source_directory is None and script.is_file()

    @property
    def _near(self) -> str:
        return f" below {self.source_directory}" if self.source_directory is not None else ""

    @property
    def _conda_path(self) -> Path | None:
        """The conda file: below the folder, or named from the working folder."""
        named = Path(self.conda_file or "")
        return next((path for path in (self._folder / named, named) if path.is_file()), None)

    @property
    def _folder(self) -> Path:
        return Path(self.source_directory or ".")

    def definition(self, workspace: Workspace) -> EnvironmentDefinition:
        """Return the environment with its Python, and check that this has what is asked for.

        Raises:
            WebserviceException: packages are missing; the message has the command of pip.
        """
        environment = self.environment
        if environment is None and self.conda_file is not None:
            path = self._conda_path
            if path is None:
                raise _missing("conda_file", f"{self.conda_file}{self._near}", "file")
            environment = Environment.from_conda_specification("from-conda-file", path)
        asked = (environment or Environment("default")).definition()
        with told_as():
            python = interpreter_of(workspace, asked)
            check_packages(asked, python)
        return dataclasses.replace(asked, interpreter=python)

    def build(self, workspace: Workspace, *, is_local: bool = False) -> Inference:
        """Store the script and its folder, and return what the workspace keeps of this.

        Args:
            workspace: where.
            is_local: the service can be reloaded from the folder itself.

        Raises:
            WebserviceException: something is missing.
        """
        from calotype.hosting.source_folder import inference_of

        self.validate_configuration()
        definition = self.definition(workspace)
        with told_as():
            return inference_of(
                workspace,
                entry_script=self.entry_script,
                source_directory=self.source_directory,
                environment=definition,
                description=self.description or "",
                live=is_local,
            )


def _missing(name: str, got: str, kind: str) -> WebserviceException:
    return WebserviceException(
        f"expected a {kind} that exists",
        where=f"InferenceConfig, {name}",
        got=got,
        action=f"The working folder is {Path.cwd()}.",
    )
