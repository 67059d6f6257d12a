"""Services under the names of the retired SDK."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Self, cast

from calotype.webservice import following, service_documents, unsupported
from calotype.webservice.access_token import AccessToken
from calotype.webservice.configuration_checks import check_service_name
from calotype.webservice.exceptions import WebserviceException, WebserviceNotFound, told_as
from calotype.webservice.replies import body_of, value_of
from calotype.webservice.service_filters import Filters, check_kind, is_wanted
from calotype.webservice.service_older_ways import OlderWays
from calotype.webservice.service_settings import ServiceSettings
from calotype.workspace.naming import pairs
from calotype.workspace.services import Service
from calotype.workspace.workspace import Workspace

_KEYS: Final = ("primary", "secondary")


class Webservice(ServiceSettings, OlderWays):
    """A deployed service. The constructor returns the fitting sub-class.

    Args:
        workspace: where it is.
        name: of the service.

    Attributes:
        workspace: where it is.
        name: of the service.

    Raises:
        WebserviceNotFound: there is none of that name.
        WebserviceException: it is of another kind than the class that was called.
    """

    def __new__(cls, workspace: Workspace, name: str, *_args: Any, **_named: Any) -> Self:
        """Choose the class by what the workspace knows."""
        if cls is not Webservice:
            return super().__new__(cls)
        from calotype.webservice.kinds import kind_of

        with told_as(not_found=WebserviceNotFound):
            kind = cast(type[Self], kind_of(workspace.services.get(name)))
        return super().__new__(kind)

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace = workspace
        self.name = name
        self._check_kind(self.record())

    @staticmethod
    def list(
        workspace: Workspace,
        compute_type: str | None = None,
        image_name: str | None = None,
        image_id: str | None = None,
        model_name: str | None = None,
        model_id: str | None = None,
        tags: Filters = None,
        properties: Filters = None,
        image_digest: str | None = None,
    ) -> builtins.list[Webservice]:
        """Return the services that have all that is said, by name.

        Args:
            workspace: where.
            compute_type: ACI, AKS, AKSENDPOINT or LOCAL.
            image_name, image_id, image_digest: have no meaning here.
            model_name: with any version of this model.
            model_id: with this model, `name:version`.
            tags: a key, or a list of keys and of lists of a key and its value, or a dictionary.
            properties: likewise.

        Raises:
            WebserviceException: there is no such compute_type, or tags and properties of that form.
        """
        unsupported.ignore_given(
            stacklevel=3, image_name=image_name, image_id=image_id, image_digest=image_digest
        )
        check_kind(compute_type)
        with told_as():
            wanted = {"tags": pairs(tags), "properties": pairs(properties)}
        return [
            Webservice(workspace, service.name)
            for service in workspace.services.list()
            if is_wanted(
                service,
                compute_type=compute_type,
                model_name=model_name,
                model_id=model_id,
                **wanted,
            )
        ]

    @staticmethod
    def check_for_existing_webservice(
        workspace: Workspace,
        name: str,
        overwrite: bool = False,
        request_func: Any = None,
        check_func: Any = None,
    ) -> None:
        """Raise when the name is taken, or may not be that of a service.

        Raises:
            WebserviceException: so it is.
        """
        unsupported.ignore_given(request_func=request_func, check_func=check_func)
        check_service_name(name)
        if not overwrite and any(one.name == name for one in workspace.services.list()):
            raise WebserviceException(
                "expected a name that no service has",
                where=f"service '{name}'",
                got="one of that name",
                action="Choose another, or say overwrite=True.",
            )

    def wait_for_deployment(
        self, show_output: bool = False, timeout_sec: float | None = None
    ) -> None:
        """Return when it serves what was asked for.

        Args:
            show_output: show the progress, and on failure the trace of `init`, the model folder
                and the last lines of the log.
            timeout_sec: how long; 20 minutes when left out.

        Raises:
            WebserviceException: it failed, or took too long; with the trace of `init` and the
                files in the model folder.
        """
        following.wait(
            self.workspace,
            self.name,
            kind=self.compute_type,
            show_output=show_output,
            timeout_s=timeout_sec,
        )

    def update_deployment_state(self) -> None:
        """Check that it is there still; its properties are always those of now.

        Raises:
            WebserviceNotFound: it was deleted.
        """
        self.record()

    def get_logs(self, num_lines: int = 5000, init: bool = False) -> str:
        """Return the last lines of its log, during and after the deployment.

        Args:
            num_lines: at most.
            init: only what was logged until each process was ready, or failed.

        Raises:
            WebserviceException: `num_lines` is less than 1.
        """
        if num_lines < 1:
            raise WebserviceException(
                "expected a number of lines, 1 or more", where="get_logs", got=repr(num_lines)
            )
        with told_as(not_found=WebserviceNotFound):
            return self.management.logs(self.name, num_lines=num_lines, init=init)

    def run(self, input: Any = None, *, input_data: Any = None) -> Any:
        """Score an input, with the credential of the service, and return the answer.

        Args:
            input: JSON as text or bytes, an image as bytes, or a value to be written as JSON.
            input_data: another name for it.

        Raises:
            WebserviceException: the answer was not 200, or there was none.
        """
        body, content_type = body_of(input if input_data is None else input_data)
        with told_as(not_found=WebserviceNotFound):
            reply = self.management.run(self.name, body, content_type)
        return value_of(reply, service=self.name)

    def get_keys(self) -> tuple[str, str]:
        """Return the primary and the secondary key.

        Raises:
            WebserviceException: it has none.
        """
        with told_as(not_found=WebserviceNotFound):
            keys = self.management.keys(self.name)
        return keys.primary, keys.secondary

    def regen_key(self, key: str, set_key: str | None = None) -> None:
        """Exchange a key; the other one goes on working.

        Args:
            key: "Primary" or "Secondary", in any letter case.
            set_key: the new one; made when left out.

        Raises:
            WebserviceException: no such key, or a value that cannot be one.
        """
        if not isinstance(key, str) or key.lower() not in _KEYS:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise WebserviceException(
                "expected 'Primary' or 'Secondary'", where="regen_key", got=repr(key)
            )
        with told_as(not_found=WebserviceNotFound):
            self.management.regenerate_key(self.name, key.lower(), set_key)

    def get_token(self) -> tuple[str, datetime]:
        """Return a token, and when to get the next one.

        Raises:
            WebserviceException: it takes none.
        """
        token = self.get_access_token()
        return token.access_token, token.refresh_after

    def get_access_token(self) -> AccessToken:
        """Return a token with its times.

        Raises:
            WebserviceException: it takes none.
        """
        with told_as(not_found=WebserviceNotFound):
            issued = self.management.token(self.name)
        return AccessToken(issued.token, "Bearer", issued.refresh_by, issued.expires_at)

    def update(self, *args: Any, **named: Any) -> None:
        """Change it in place; each kind of service says what can be changed."""
        raise NotImplementedError

    def delete(self) -> None:
        """Remove it, with its processes, files and logs; nothing happens when it is gone."""
        with told_as():
            self.management.delete(self.name)

    def add_tags(self, tags: Mapping[str, str]) -> None:
        """Add tags, or change those of the same names."""
        self._change(add_tags=tags)

    def remove_tags(self, tags: Iterable[str]) -> None:
        """Remove the tags of these names."""
        self._change(remove_tags=tags)

    def add_properties(self, properties: Mapping[str, str]) -> None:
        """Add properties.

        Raises:
            WebserviceException: one is there with another value.
        """
        self._change(properties=properties)

    def serialize(self) -> dict[str, Any]:
        """Return this as JSON has it."""
        return service_documents.common(self, self.record())

    @classmethod
    def deserialize(cls, workspace: Workspace, payload: Mapping[str, Any]) -> Webservice:
        """Return the service that a document of `serialize` is of.

        Raises:
            WebserviceNotFound: there is none of its name.
            WebserviceException: it is of another kind than the class that was called.
        """
        return cls(workspace, str(payload["name"]))

    def _change(self, **changes: Any) -> None:
        with told_as(not_found=WebserviceNotFound):
            self.management.update(self.name, **changes)

    def _check_kind(self, record: Service) -> None:
        from calotype.webservice.kinds import kind_of

        kind = kind_of(record)
        if not issubclass(kind, type(self)):
            raise WebserviceException(
                f"expected a service of kind {type(self).__name__}",
                where=f"service '{self.name}'",
                got=kind.__name__,
                action="Webservice(workspace, name) returns the fitting kind.",
            )
