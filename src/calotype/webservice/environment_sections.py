"""The parts of an environment: its Python and its container."""

from __future__ import annotations

from dataclasses import dataclass, field

from calotype.webservice import unsupported
from calotype.webservice.conda_dependencies import CondaDependencies


@dataclass
class PythonSection:
    """What Python an entry script runs with.

    Attributes:
        interpreter_path: of the Python; ours, or the one of `build_local`, when it is None.
        user_managed_dependencies: it has all packages that are needed, and nobody checks.
        conda_dependencies: packages.
    """

    interpreter_path: str | None = None
    user_managed_dependencies: bool = False
    conda_dependencies: CondaDependencies = field(default_factory=CondaDependencies)


@dataclass
class DockerSection:
    """What `Model.package` builds an image on; a service here runs without one.

    Attributes:
        base_image: name of an image.
        base_dockerfile: text that takes its place.
        base_image_registry: address of its registry.
        enabled: has no meaning here.
    """

    base_image: str | None = None
    base_dockerfile: str | None = None
    base_image_registry: str | None = None
    enabled: bool = False

    def __setattr__(self, name: str, value: object) -> None:
        """Set a value, with a warning about one that changes nothing."""
        if name == "enabled" and value:
            unsupported.ignore("docker.enabled")
        super().__setattr__(name, value)
