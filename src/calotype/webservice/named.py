"""Registries that also are dictionaries by name, as the retired workspace had them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from calotype.workspace.datasets import DatasetRegistry
from calotype.workspace.environments import EnvironmentRegistry
from calotype.workspace.model_registry import ModelRegistry

if TYPE_CHECKING:
    from calotype.webservice.dataset import Dataset
    from calotype.webservice.environment import Environment
    from calotype.webservice.model import Model

Value = TypeVar("Value")


class _Named(Generic[Value]):
    """The manners of a dictionary; a class beside it knows the values."""

    def by_name(self) -> dict[str, Value]:
        """Return the latest version of everything, by name."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({sorted(self)})"

    def __getitem__(self, name: str) -> Value:
        return self.by_name()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_name())

    def __len__(self) -> int:
        return len(self.by_name())

    def __contains__(self, name: object) -> bool:
        return name in self.by_name()

    def keys(self) -> Any:
        """Return the names."""
        return self.by_name().keys()

    def values(self) -> Any:
        """Return the latest versions."""
        return self.by_name().values()

    def items(self) -> Any:
        """Return names with the latest versions."""
        return self.by_name().items()


class NamedModels(_Named["Model"], ModelRegistry):
    """The models of a workspace."""

    def by_name(self) -> dict[str, Model]:
        """Return the latest version of every model, by name."""
        from calotype.webservice.model import Model

        return {one.name: one for one in Model.list(self._workspace, latest=True)}


class NamedDatasets(_Named["Dataset"], DatasetRegistry):
    """The datasets of a workspace."""

    def by_name(self) -> dict[str, Dataset]:
        """Return the latest version of every dataset, by name."""
        from calotype.webservice.dataset import Dataset

        return Dataset.get_all(self._workspace)


class NamedEnvironments(_Named["Environment"], EnvironmentRegistry):
    """The environments of a workspace."""

    def by_name(self) -> dict[str, Environment]:
        """Return the latest version of every environment, by name."""
        from calotype.webservice.environment import Environment

        return dict(Environment.list(self._workspace))
