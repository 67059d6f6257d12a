"""What all deployment configurations have: checks, settings for the workspace, printing."""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from calotype.webservice import configuration_checks as checks
from calotype.webservice.deployment_parameters import access_of, problems_of, runtime_of
from calotype.workspace.service_settings import AccessSettings, RuntimeSettings, Target


@dataclass(kw_only=True)
class DeploymentConfiguration:
    """How a service shall run; made by `deploy_configuration` of a kind of service.

    Attributes:
        host: address to listen on.
        workers: processes that run an entry script, in each replica.
        precision: of an image model.
        cors_origins: origins whose pages may call the service.
        max_body_bytes: 413 for a larger request.
        collect_image_copies: keep images too when inputs and predictions are collected.
        allow_pickle: load models that are pickles, which can run any code.

    Raises:
        WebserviceException: a value, or several together, cannot be used.
    """

    host: str | None = None
    workers: int | None = None
    precision: str | None = None
    cors_origins: list[str] | tuple[str, ...] | None = None
    max_body_bytes: int | None = None
    collect_image_copies: bool | None = None
    allow_pickle: bool | None = None

    target: ClassVar[Target]
    compute_type: ClassVar[str]

    def __post_init__(self) -> None:
        for name in ("ssl_cert_pem_file", "ssl_key_pem_file"):
            path = getattr(self, name, None)
            if isinstance(path, Path):
                setattr(self, name, str(path))
        self.validate_configuration()
        self.warn()

    @property
    def values(self) -> dict[str, Any]:
        """All parameters by name."""
        return {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}

    def problems(self) -> list[str]:
        """Return what is wrong, as clauses."""
        return [*problems_of(self.values), *checks.precision(self.values)]

    def validate_configuration(self) -> None:
        """Check all values.

        Raises:
            WebserviceException: one cannot be used.
        """
        checks.refuse(self.problems()[:1])  # as its targets did: the first fault only

    def warn(self) -> None:
        """Warn about what has no meaning here."""

    @property
    def auth(self) -> str:
        """What callers have to show: none, key or token; empty for what is usual."""
        return ""

    def access(self) -> AccessSettings:
        """Return where the service is to be found, and what opens it."""
        settings = access_of(self.values)
        for name in ("tls_certificate", "tls_key"):
            if settings.get(name):  # another process reads it, from another folder
                settings[name] = str(Path(settings[name]).absolute())
        return AccessSettings.of(settings | ({"auth": self.auth} if self.auth else {}))

    def runtime(self) -> RuntimeSettings:
        """Return how its processes run."""
        return RuntimeSettings.of(runtime_of(self.values))

    def print_deploy_configuration(self) -> None:
        """Print what was given, as its document has it; keys stay unseen."""
        from calotype.webservice.deployment_documents import document_of

        document = document_of(self)
        if "keys" in document:
            document["keys"] = dict.fromkeys(document["keys"], "…")
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
