"""What is known about a registered model, as its properties."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Self

from calotype.webservice.registering import datasets_of
from calotype.webservice.resource_configuration import ResourceConfiguration
from calotype.workspace.registered_model import RegisteredModel
from calotype.workspace.workspace import Workspace

if TYPE_CHECKING:
    from calotype.webservice.dataset import Dataset


class ModelFacts:
    """Facts of one version of a model.

    Attributes:
        workspace: where it is registered.
    """

    workspace: Workspace

    class Framework(StrEnum):
        """What a model was made with."""

        CUSTOM = "Custom"
        TENSORFLOW = "TensorFlow"
        SCIKITLEARN = "ScikitLearn"
        ONNX = "Onnx"
        TFKERAS = "TfKeras"
        PYTORCH = "PyTorch"
        MULTI = "Multi"

    _registered: RegisteredModel
    mime_type: ClassVar[str] = "application/octet-stream"

    def __repr__(self) -> str:
        return f"Model(workspace={self.workspace.name!r}, name={self.name!r}, id={self.id!r})"

    @classmethod
    def of(cls, workspace: Workspace, registered: RegisteredModel) -> Self:
        """Return the model that the workspace knows as `registered`."""
        made = cls.__new__(cls)
        made.workspace, made._registered = workspace, registered
        return made

    @property
    def name(self) -> str:
        """Its name."""
        return self._registered.name

    @property
    def version(self) -> int:
        """1, 2, …"""
        return self._registered.version

    @property
    def id(self) -> str:
        """`name:version`."""
        return self._registered.id

    @property
    def tags(self) -> dict[str, str]:
        """Names and values that can be changed."""
        return dict(self._registered.tags)

    @property
    def properties(self) -> dict[str, str]:
        """Names and values that stay."""
        return dict(self._registered.properties)

    @property
    def description(self) -> str:
        """For people."""
        return self._registered.description

    @property
    def created_time(self) -> datetime:
        """When it was registered."""
        return self._registered.created_at

    @property
    def created_by(self) -> str:
        """Who registered it."""
        return self._registered.created_by

    @property
    def model_framework(self) -> str:
        """What it was made with."""
        return self._registered.framework

    @property
    def model_framework_version(self) -> str | None:
        """Its version."""
        return self._registered.framework_version

    @property
    def run_id(self) -> str | None:
        """The run that made it."""
        return self._registered.run_id

    @property
    def url(self) -> str:
        """Its address inside the workspace."""
        return f"calotype://{self.workspace.name}/models/{self.name}/{self.version}"

    @property
    def datasets(self) -> dict[str, list[Dataset]]:
        """Its datasets by purpose."""
        return datasets_of(self.workspace, self._registered.details)

    @property
    def sample_input_dataset(self) -> Dataset | None:
        """An example of its input."""
        return self._sample("sample_input")

    @property
    def sample_output_dataset(self) -> Dataset | None:
        """An example of its output."""
        return self._sample("sample_output")

    @property
    def resource_configuration(self) -> ResourceConfiguration | None:
        """What it needs where it is served."""
        said = self._registered.details.get("resources")
        return None if said is None else ResourceConfiguration.of(said)

    def serialize(self) -> dict[str, Any]:
        """Return this as JSON has it."""
        one = self._registered
        return {
            "createdTime": one.created_at.isoformat(),
            "createdBy": one.created_by,
            "description": one.description,
            "id": one.id,
            "mimeType": self.mime_type,
            "name": one.name,
            "framework": one.framework,
            "frameworkVersion": one.framework_version,
            "tags": dict(one.tags),
            "properties": dict(one.properties),
            "unpack": False,
            "url": self.url,
            "version": one.version,
            "upload": None,
            "runId": one.run_id,
            "resourceRequirements": one.details.get("resources"),
            "datasets": one.details.get("datasets", []),
            "sampleInputData": one.details.get("sample_input"),
            "sampleOutputData": one.details.get("sample_output"),
        }

    def _sample(self, key: str) -> Dataset | None:
        from calotype.webservice.dataset import Dataset

        said = self._registered.details.get(key)
        return None if said is None else Dataset.get_by_name(self.workspace, **said)
