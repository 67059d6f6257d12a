"""Packages under the names of the retired SDK."""

from __future__ import annotations

import shutil
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from calotype import errors
from calotype.webservice import package_files, packaging, unsupported
from calotype.webservice.deploying import references_of
from calotype.webservice.exceptions import WebserviceException, told_as
from calotype.webservice.inference_config import InferenceConfig
from calotype.webservice.model import Model
from calotype.workspace.sealed_variables import MASK
from calotype.workspace.service_settings import Inference
from calotype.workspace.workspace import Workspace

_FOLDER: Final = "packages"


class ModelPackage:
    """A folder with a Dockerfile that serves models; made by `Model.package`.

    Args:
        workspace: where it was made.
        id: its name.
        content: what it runs.
        environment_notes: what of the environment it does not have.
        image_name: of the image that `docker build` makes of it.

    Attributes:
        state: Succeeded, as there is nothing to wait for.
    """

    state = "Succeeded"

    def __init__(
        self,
        workspace: Workspace,
        id: str,
        content: package_files.PackageContent,
        environment_notes: Sequence[str] = (),
        image_name: str = "",
    ) -> None:
        self.workspace = workspace
        self.id = id
        self._content = content
        self._notes = tuple(environment_notes)
        self._image = image_name

    @property
    def path(self) -> Path:
        """The folder, in the workspace."""
        return self.workspace.place.root / _FOLDER / self.id

    @property
    def location(self) -> str:
        """The name of the image that `docker build` makes of it."""
        return self._image

    def save(self, output_directory: str | Path) -> None:
        """Write the folder: Dockerfile, requirements, models, source, README.

        Args:
            output_directory: new or empty.

        Raises:
            WebserviceException: it holds something, or cannot be written.
        """
        out = Path(output_directory)
        with told_as():
            if out.is_file() or (out.is_dir() and any(out.iterdir())):
                raise errors.AlreadyExists(
                    "expected a new folder, or an empty one",
                    where=str(out),
                    action="Choose another folder, or delete this one.",
                )
            try:
                shutil.copytree(self.path, out, dirs_exist_ok=True)
            except OSError as error:
                raise errors.write_error(error, where=str(out)) from error

    def pull(self) -> NoReturn:
        """There is no registry that would have an image.

        Raises:
            WebserviceException: always.
        """
        unsupported.refuse("pull")

    def get_logs(self, decode: bool = True, offset: int = 0) -> str | bytes:
        """Return what was written, a line for each part; from a character on."""
        content = self._content
        lines = [
            f"models: {', '.join(content.models) or 'none'}",
            f"command: {' '.join(content.command)}",
            *(f"note: {note}" for note in self._notes),
            f"package: {self.path}",
        ]
        text = "".join(f"{line}\n" for line in lines)[offset:]
        return text if decode else text.encode()

    def wait_for_creation(self, show_output: bool = False) -> None:
        """Return: it was made when `Model.package` returned."""
        if show_output:
            sys.stdout.write(f"{self.get_logs()}{self.state}\n")

    def get_container_registry(self) -> NoReturn:
        """There is none.

        Raises:
            WebserviceException: always.
        """
        unsupported.refuse("get_container_registry")

    def serialize(self) -> dict[str, Any]:
        """Return this as JSON has it."""
        return {
            "id": self.id,
            "state": self.state,
            "location": self.location,
            "path": str(self.path),
            "modelIds": list(self._content.models),
            "command": self._content.command,
            "environmentVariables": dict.fromkeys(self._variables, MASK),
            "notes": list(self._notes),
        }

    @property
    def _variables(self) -> Mapping[str, str]:
        environment = self._content.environment
        return environment.environment_variables if environment is not None else {}


def package(
    workspace: Workspace,
    models: Sequence[Model | str],
    inference_config: InferenceConfig | None = None,
    *,
    generate_dockerfile: bool = False,
    image_name: str | None = None,
    image_label: str | None = None,
) -> ModelPackage:
    """Make a package of models; see `Model.package`.

    Raises:
        WebserviceException: a model does not exist, or needs a script.
    """
    references = references_of(models)
    inference = Inference()
    if inference_config is not None:
        inference = inference_config.build(workspace)
    id = uuid.uuid4().hex[:16]
    with told_as():
        content = packaging.write_package(
            workspace, references, inference, workspace.place.root / _FOLDER / id
        )
    if not content.models and not inference.entry_script:
        raise WebserviceException("expected models or a script", where="Model.package")
    image = f"{image_name or content.name}:{image_label or 'latest'}"
    notes = package_files.notes(content.environment)
    return ModelPackage(workspace, id, content, notes, "" if generate_dockerfile else image)
