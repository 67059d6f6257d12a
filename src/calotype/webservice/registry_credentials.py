"""Access to a container registry, which nothing here uses."""

from __future__ import annotations

from dataclasses import dataclass, field

from calotype.webservice import unsupported


@dataclass
class ContainerRegistry:
    """Accepted, with a warning, so that old scripts go on.

    Attributes:
        address: of the registry.
        username: to log in.
        password: to log in.
    """

    address: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        unsupported.ignore("container_registry", stacklevel=3)
