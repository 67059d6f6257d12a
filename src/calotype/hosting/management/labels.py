"""Tags, properties and description of a service: what is said about it, whatever it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from calotype.hosting.management.checking import check_name
from calotype.hosting.management.keeper import require_kept_here
from calotype.workspace.naming import added_properties, changed_tags
from calotype.workspace.services import Service
from calotype.workspace.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Labels:
    """What shall be said otherwise; None leaves a thing as it is.

    Attributes:
        tags: take the place of all tags.
        add_tags: are added, or change those of the same names.
        remove_tags: names of those that go, before others are added.
        properties: are added; one that is there cannot be changed.
        description: takes the place of the old one.
    """

    tags: Mapping[str, Any] | None = None
    add_tags: Mapping[str, Any] | None = None
    remove_tags: Iterable[str] = ()
    properties: Mapping[str, Any] | None = None
    description: str | None = None

    def check(self, service: Service) -> None:
        """Refuse what cannot be said about a service, before anything is done.

        Raises:
            UnparsableValue: tags or properties are none.
            NotSupported: a property would be changed (2006).
        """
        self.changed(service)

    def changed(self, service: Service) -> dict[str, Any]:
        """Return the columns of a service that become different.

        Raises:
            UnparsableValue: tags or properties are none.
            NotSupported: a property would be changed (2006).
        """
        values: dict[str, Any] = {
            "tags": changed_tags(
                service.tags, tags=self.tags, add=self.add_tags, remove=self.remove_tags
            ),
            "properties": added_properties(
                service.properties, self.properties, where=f"service '{service.name}'"
            ),
        }
        if self.description is not None:
            values["description"] = self.description
        return {name: value for name, value in values.items() if value != getattr(service, name)}


def change(workspace: Workspace, name: str, labels: Labels, version: str | None = None) -> Service:
    """Change what is said about a service, in one transaction, whoever else changes it.

    Args:
        workspace: where it is.
        name: of the service.
        labels: what shall be said.
        version: one that it must have.

    Raises:
        UnparsableValue: that is no name of a service, or tags or properties are none.
        NotFound: there is no such service or version.
        NotSupported: a property would be changed, or another machine keeps it.
    """
    check_name(name)
    with workspace.services.editing(name) as edit:
        require_kept_here(workspace, edit.service)
        if version is not None:
            edit.service.version(version)
        values = labels.changed(edit.service)
        if values:
            edit.change(**values)
    workspace.audit.note("service.update", name, changed=sorted(values))
    return workspace.services.get(name)
