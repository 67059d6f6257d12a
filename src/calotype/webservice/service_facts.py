"""What is known about a service, as its properties: always as it is now."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from calotype.hosting.management import Management
from calotype.webservice.exceptions import WebserviceNotFound, told_as
from calotype.workspace.services import Service
from calotype.workspace.workspace import Workspace

if TYPE_CHECKING:
    from calotype.hosting.observation import Observation
    from calotype.webservice.model import Model


class ServiceFacts:
    """Facts of one service.

    Attributes:
        workspace: where it is.
        name: of the service.
    """

    compute_type: ClassVar[str] = ""
    image_id: ClassVar[str | None] = None
    image_digest: ClassVar[str | None] = None
    workspace: Workspace
    name: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}(workspace={self.workspace.name!r}, name={self.name!r})"

    @property
    def management(self) -> Management:
        """What all changes go through."""
        return Management(self.workspace)

    def record(self) -> Service:
        """Return what the workspace knows about it now.

        Raises:
            WebserviceNotFound: it was deleted.
        """
        with told_as(not_found=WebserviceNotFound):
            return self.workspace.services.get(self.name)

    def observed(self) -> Observation:
        """Return how it is now.

        Raises:
            WebserviceNotFound: it was deleted.
        """
        with told_as(not_found=WebserviceNotFound):
            return self.management.observe(self.name)

    @property
    def state(self) -> str:
        """Transitioning, Healthy, Unhealthy, Unschedulable or Failed: as it is now."""
        return self.observed().state

    @property
    def error(self) -> dict[str, str] | None:
        """Why it is not healthy, or why its last update failed; None when all is well."""
        return self.observed().error

    @property
    def scoring_uri(self) -> str | None:
        """Where to send what shall be scored; None while it has no address."""
        return self.observed().scoring_uri or None

    @property
    def swagger_uri(self) -> str | None:
        """Where its OpenAPI document is; None while it has no address."""
        return self.observed().swagger_uri or None

    @property
    def auth_enabled(self) -> bool:
        """Whether callers have to show a key."""
        return self.record().access.auth == "key"

    @property
    def token_auth_enabled(self) -> bool:
        """Whether callers have to show a token."""
        return self.record().access.auth == "token"

    @property
    def description(self) -> str:
        """For people."""
        return self.record().description

    @property
    def tags(self) -> dict[str, str]:
        """Names and values that can be changed."""
        return dict(self.record().tags)

    @property
    def properties(self) -> dict[str, str]:
        """Names and values that stay."""
        return dict(self.record().properties)

    @property
    def created_time(self) -> datetime:
        """When it was deployed."""
        return self.record().created_at

    @property
    def updated_time(self) -> datetime:
        """When it was last changed."""
        return self.record().updated_at

    @property
    def created_by(self) -> str:
        """Who deployed it."""
        return self.record().created_by

    @property
    def models(self) -> list[Model]:
        """The models that it serves."""
        from calotype.webservice.model import Model

        return [Model(self.workspace, id=model) for model in self.record().models]
