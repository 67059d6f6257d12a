"""Records of services, for tests of what uses them."""

from __future__ import annotations

from calotype.workspace.service_settings import AccessSettings, Inference, RuntimeSettings
from calotype.workspace.services import Revision, Service, Version, now


def service_of(name: str, *, models: tuple[str, ...]) -> Service:
    """Return a service with one revision of these models."""
    revision = Revision(1, models, Inference(), RuntimeSettings())
    version = Version("default", 100, True, True, 1, None, "Transitioning", None, (revision,))
    return Service(
        name=name,
        target="local",
        is_endpoint=False,
        access=AccessSettings(),
        credentials=b"sealed",
        desired="stopped",
        state="Transitioning",
        error=None,
        host="here",
        description="",
        tags={},
        properties={},
        created_by="tests",
        created_at=now(),
        updated_at=now(),
        versions=(version,),
    )
