"""Models under the names of the retired SDK."""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from calotype import errors
from calotype.webservice import unsupported
from calotype.webservice.exceptions import ModelNotFound, WebserviceException, told_as
from calotype.webservice.model_deployment import ModelDeployment
from calotype.webservice.model_facts import ModelFacts
from calotype.webservice.registering import details_of, register_files
from calotype.webservice.resource_configuration import ResourceConfiguration
from calotype.webservice.version_number import version_of
from calotype.workspace.naming import pairs
from calotype.workspace.registered_model import RegisteredModel
from calotype.workspace.workspace import Workspace

if TYPE_CHECKING:
    from calotype.webservice.dataset import Dataset

Filters = str | Sequence[str | Sequence[str]] | Mapping[str, str] | None

_PAGE_COUNT: Final = 255


class Model(ModelFacts, ModelDeployment):
    """One version of a registered model.

    Args:
        workspace: where it is registered.
        name: of the model; the newest version that meets all that is said.
        id: `name:version`, in place of a name.
        tags: it has all of these: a key, or a list of keys and of lists of a key and its value, or
            a dictionary.
        properties: likewise.
        version: this one.
        run_id: made by this run.
        model_framework: of this one.
        expand: has no meaning here.

    Raises:
        ModelNotFound: there is none.
    """

    def __init__(
        self,
        workspace: Workspace,
        name: str | None = None,
        id: str | None = None,
        tags: Filters = None,
        properties: Filters = None,
        version: int | str | None = None,
        run_id: str | None = None,
        model_framework: str | None = None,
        expand: bool = True,
    ) -> None:
        unsupported.ignore_given(expand=None if expand else expand)
        self.workspace = workspace
        with told_as(not_found=ModelNotFound):
            if id is not None:
                found = [workspace.models.find(id)]
            elif name is None:
                raise WebserviceException("expected a name or an id", where="Model", got="neither")
            else:
                number = version_of(version)
                found = workspace.models.list(
                    name, pairs(tags), pairs(properties), run_id, framework=model_framework
                )
                if number is not None:
                    found = [one for one in found if one.version == number]
                if not found:
                    workspace.models.get(name, number)
                    raise ModelNotFound(
                        "expected a model that has all that is asked for",
                        where=f"model '{name}'",
                        got="none",
                    )
        self._registered = found[0]

    @classmethod
    def register(  # noqa: PLR0913, PLR0917 - as in the retired SDK
        cls,
        workspace: Workspace,
        model_path: str | Path,
        model_name: str,
        tags: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        description: str | None = None,
        datasets: Iterable[tuple[str, Dataset]] | None = None,
        model_framework: str | None = None,
        model_framework_version: str | None = None,
        child_paths: Sequence[str] | None = None,
        sample_input_dataset: Dataset | None = None,
        sample_output_dataset: Dataset | None = None,
        resource_configuration: ResourceConfiguration | None = None,
    ) -> Self:
        """Store a file or folder as the next version of a model.

        Args:
            workspace: where.
            model_path: the file or folder.
            model_name: 1 to 255 letters, digits, dots, dashes and underscores.
            tags: can be changed later.
            properties: can only be added to later.
            description: for people.
            datasets: pairs of a purpose and a dataset.
            model_framework: one of `Model.Framework`; guessed from the files when left out.
            model_framework_version: its version.
            child_paths: only these of the folder.
            sample_input_dataset: an example of its input.
            sample_output_dataset: an example of its output.
            resource_configuration: what it needs where it is served.

        Raises:
            WebserviceException: the path or the name cannot be used.
        """
        with told_as():
            registered = register_files(
                workspace,
                str(model_path),
                model_name,
                child_paths,
                tags=tags,
                properties=properties,
                description=description or "",
                framework=model_framework,
                framework_version=model_framework_version,
                details=details_of(
                    datasets, sample_input_dataset, sample_output_dataset, resource_configuration
                ),
            )
        sys.stdout.write(f"Registering model {model_name}\n")
        return cls.of(workspace, registered)

    @staticmethod
    def get_model_path(
        model_name: str, version: int | str | None = None, _workspace: Workspace | None = None
    ) -> str:
        """Return where a model's file or folder is: in a running service, or unpacked here.

        Raises:
            ModelNotFound: there is no such model.
        """
        with told_as(not_found=ModelNotFound):
            number = version_of(version)
            if os.environ.get("AZUREML_MODEL_DIR"):
                return _inside_service(model_name, number)
            workspace = _workspace or Workspace.from_config()
            return str(workspace.models.path_of(workspace.models.get(model_name, number)))

    def download(
        self, target_dir: str | Path = ".", exist_ok: bool = False, exists_ok: bool | None = None
    ) -> str:
        """Write its files into a folder and return the path of what was written.

        Raises:
            WebserviceException: there is something of that name, and `exist_ok` is false.
        """
        with told_as():
            return str(
                self.workspace.models.download(
                    self._registered, target_dir, exist_ok=bool(exist_ok or exists_ok)
                )
            )

    @classmethod
    def list(
        cls,
        workspace: Workspace,
        name: str | None = None,
        tags: Filters = None,
        properties: Filters = None,
        run_id: str | None = None,
        latest: bool = False,
        dataset_id: str | None = None,
        expand: bool = True,
        page_count: int = _PAGE_COUNT,
        model_framework: str | None = None,
    ) -> builtins.list[Self]:
        """Return the models that have all that is said, by name, the newest version first.

        Args:
            workspace: where.
            name: of this name.
            tags: a key, or a list of keys and of lists of a key and its value, or a dictionary.
            properties: likewise.
            run_id: made by this run.
            latest: the newest version of each name only.
            dataset_id: with this dataset, `name:version`.
            expand: has no meaning here.
            page_count: has no meaning here.
            model_framework: of this one.

        Raises:
            WebserviceException: tags or properties are of another form.
        """
        unsupported.ignore_given(
            expand=None if expand else expand,
            page_count=None if page_count == _PAGE_COUNT else page_count,
        )
        with told_as():
            found = workspace.models.list(
                name,
                pairs(tags),
                pairs(properties),
                run_id,
                latest=latest,
                framework=model_framework,
            )
        return [cls.of(workspace, one) for one in found if _has_dataset(one, dataset_id)]

    def update(
        self,
        tags: dict[str, str] | None = None,
        description: str | None = None,
        sample_input_dataset: Dataset | None = None,
        sample_output_dataset: Dataset | None = None,
        resource_configuration: ResourceConfiguration | None = None,
    ) -> None:
        """Change what is said about it; tags take the place of all tags.

        Raises:
            WebserviceException: it was deleted meanwhile.
        """
        with told_as():
            details = details_of(
                None, sample_input_dataset, sample_output_dataset, resource_configuration
            )
        self._change(tags=tags, description=description, details=details)

    def update_tags_properties(
        self,
        add_tags: dict[str, str] | None = None,
        remove_tags: Iterable[str] | None = None,
        add_properties: dict[str, str] | None = None,
    ) -> None:
        """Add and remove tags, and add properties.

        Raises:
            WebserviceException: a property is there with another value.
        """
        self._change(add_tags=add_tags, remove_tags=remove_tags or (), properties=add_properties)

    def add_tags(self, tags: dict[str, str]) -> None:
        """Add tags, or change those of the same names."""
        self._change(add_tags=tags)

    def remove_tags(self, tags: Iterable[str]) -> None:
        """Remove the tags of these names."""
        self._change(remove_tags=tags)

    def add_properties(self, properties: dict[str, str]) -> None:
        """Add properties.

        Raises:
            WebserviceException: one is there with another value.
        """
        self._change(properties=properties)

    def add_dataset_references(self, datasets: Iterable[tuple[str, Dataset]]) -> None:
        """Add datasets: pairs of a purpose and a dataset.

        Raises:
            WebserviceException: one is not registered.
        """
        known = self._registered.details.get("datasets", [])
        with told_as():
            added = details_of(datasets)["datasets"]
        self._change(details={"datasets": known + added})

    def delete(self) -> None:
        """Forget this version.

        Raises:
            WebserviceException: a service uses it (2005, 412).
        """
        with told_as(not_found=ModelNotFound):
            self.workspace.models.delete(self._registered)

    @classmethod
    def deserialize(cls, workspace: Workspace, model_payload: Mapping[str, Any]) -> Self:
        """Return the model that a document of `serialize` is of.

        Raises:
            ModelNotFound: there is none.
        """
        return cls(workspace, id=str(model_payload["id"]))

    def get_sas_urls(self) -> NoReturn:
        """There is no blob storage that would sign addresses.

        Raises:
            WebserviceException: always.
        """
        unsupported.refuse("get_sas_urls")

    def _change(self, **changes: Any) -> None:
        with told_as(not_found=ModelNotFound):
            self._registered = self.workspace.models.update(self._registered, **changes)


def _inside_service(name: str, version: int | None) -> str:
    from calotype.serving.entry.mounted_model import Model as Mounted

    try:
        return Mounted.get_model_path(name, version)
    except FileNotFoundError as error:
        raise errors.NotFound(
            f"expected a model '{name}'", where="AZUREML_MODEL_DIR", got=str(error)
        ) from error


def _has_dataset(model: RegisteredModel, wanted: str | None) -> bool:
    said = model.details.get("datasets", ())
    return wanted is None or any(f"{one['name']}:{one['version']}" == wanted for one in said)
