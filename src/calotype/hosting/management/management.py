"""The door to all changes of services: each is checked, locked, written down and audited."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from calotype import errors
from calotype.hosting.layout import Layout
from calotype.hosting.management import (
    calling,
    credentials,
    deleting,
    deploying,
    keeper,
    labels,
    logs,
    updating,
    waiting,
)
from calotype.hosting.management.labels import Labels
from calotype.hosting.management.locking import changing
from calotype.hosting.management.request import DeployRequest
from calotype.hosting.management.shares import default_of
from calotype.hosting.management.version_management import VersionManagement
from calotype.hosting.source_folder import stored_anew
from calotype.serving.auth.keys import ServiceKeys
from calotype.serving.auth.tokens import LIFETIME_S, IssuedToken
from calotype.serving.http_client import Reply
from calotype.workspace.naming import tag_names
from calotype.workspace.service_settings import Inference, RuntimeSettings
from calotype.workspace.services import Service

if TYPE_CHECKING:
    from calotype.hosting.keeping import Observation


class Management(VersionManagement):
    """Changes and looks after the services of a workspace.

    Every change raises `Busy` while another one of the same service is in progress.

    Args:
        workspace: whose.
    """

    def deploy(self, request: DeployRequest) -> Service:
        """Make a service, or update it in place with `overwrite`; `wait` tells when it is ready.

        Raises:
            CalotypeError: the request cannot be met; nothing has changed then.
        """
        return deploying.deploy(self._workspace, request)

    def update(  # noqa: PLR0913 - all that can be changed
        self,
        name: str,
        *,
        version: str | None = None,
        models: Sequence[str] | None = None,
        inference: Inference | None = None,
        runtime: Mapping[str, Any] | RuntimeSettings | None = None,
        access: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        add_tags: Mapping[str, Any] | None = None,
        remove_tags: Iterable[str] = (),
        properties: Mapping[str, str] | None = None,
        description: str | None = None,
    ) -> Service:
        """Change a service in place; what is None stays. URI and keys stay in any case.

        What only changes tags, properties or the description is never `Busy`.

        Args:
            name: of the service.
            version: which of its versions; its default one when left out.
            models: `name` or `name:version` of all its models.
            inference: another script, source or environment.
            runtime: settings by name, or all of them.
            access: settings by name.
            tags: all of them.
            add_tags: to be added, or changed.
            remove_tags: names of those that go, before others are added.
            properties: to be added.
            description: another one.

        Raises:
            EmptyInput: nothing is to be changed.
            CalotypeError: the change cannot be made; nothing has changed then.
        """
        said = Labels(tags, add_tags, tag_names(remove_tags), properties, description)
        is_about_more = any(one is not None for one in (models, inference, runtime, access))
        if not is_about_more and said == Labels():
            raise errors.EmptyInput(
                "expected something to change", where=f"update of service '{name}'", got="nothing"
            )
        if not is_about_more:
            return labels.change(self._workspace, name, said, version)
        with self.changing(name) as service:
            changes = updating.Changes(
                version=version or default_of(service).name,
                models=models,
                inference=inference,
                runtime=runtime,
                access=access,
                labels=said,
            )
            return updating.apply(self._workspace, service, changes)

    def reload(self, name: str) -> Service:
        """Run a local service's script as it is on disk now; the old one goes on if it cannot.

        Raises:
            NotSupported: it was not deployed from a source directory on target 'local'.
        """
        with self.changing(name) as service:
            if service.target != "local":
                raise errors.NotSupported(
                    "expected a service on target 'local'",
                    where=f"reload of service '{name}'",
                    got=f"target '{service.target}'",
                    action="Update it with the changed script.",
                )
            version = default_of(service)
            changes = updating.Changes(
                version=version.name,
                inference=stored_anew(self._workspace, version.wanted.inference),
                always_new_revision=True,
            )
            return updating.apply(self._workspace, service, changes, action="service.reload")

    def delete(self, name: str) -> bool:
        """Remove a service, its processes, files and logs; return whether there was one.

        Raises:
            OperationFailed: a process of it did not end in time.
            NotSupported: another machine keeps it, and looks after it now.
        """
        with changing(Layout.of(self._workspace.place), name):
            return deleting.delete(self._workspace, name)

    def keys(self, name: str) -> ServiceKeys:
        """Return the keys that open a service.

        Raises:
            NotSupported: it has none.
        """
        return credentials.keys_of(self._workspace, self._workspace.services.get(name))

    def regenerate_key(self, name: str, key: str, value: str | None = None) -> Service:
        """Exchange one secret of a service; everything else goes on working.

        Args:
            name: of the service.
            key: "primary" or "secondary", or "token" to end all tokens.
            value: the new key; made when left out.

        Raises:
            NotSupported: the service has no such secret.
            UnparsableValue: no such key, or a value that is none.
        """
        with self.changing(name) as service:
            if key.lower() == "token":
                credentials.token_of(self._workspace, service)
            else:
                credentials.keys_of(self._workspace, service)
            secrets = credentials.opened(self._workspace, service)
            changed = credentials.regenerated(secrets, key, value)
            sealed = changed.sealed(self._workspace.key_file)
            with keeper.told(self._workspace, service):
                self._workspace.services.change(name, credentials=sealed)
                self._workspace.audit.note("service.regenerate_key", name, key=key.lower())
            return self._workspace.services.get(name)

    def token(self, name: str, *, lifetime_s: int = LIFETIME_S) -> IssuedToken:
        """Return a new token that opens a service.

        Raises:
            NotSupported: it asks for none.
        """
        service = self._workspace.services.get(name)
        issued = credentials.token_of(self._workspace, service, lifetime_s=lifetime_s)
        self._workspace.audit.note(
            "service.issue_token", name, expires_at=issued.expires_at.isoformat()
        )
        return issued

    def credential(self, name: str) -> str:
        """Return what a caller shows; empty when nothing is asked for."""
        return credentials.credential_of(self._workspace, self._workspace.services.get(name))

    def document_reader(self, name: str, scoring_uri: str) -> Callable[[str], bytes]:
        """Return a function that reads the documents of a service with its credential.

        Args:
            name: of the service.
            scoring_uri: as `observe` tells it.
        """
        service = self._workspace.services.get(name)
        return calling.document_reader(self._workspace, service, scoring_uri)

    def logs(
        self,
        name: str,
        *,
        num_lines: int = 5000,
        init: bool = False,
        version: str | None = None,
    ) -> str:
        """Return the last lines of the log, during and after a deployment.

        Args:
            name: of the service.
            num_lines: at most.
            init: only what was logged until each replica was ready, or failed.
            version: of one version only.

        Raises:
            NotFound: there is no such service.
            NotSupported: another machine keeps it.
        """
        service = self._workspace.services.get(name)
        keeper.require_kept_here(self._workspace, service)
        return logs.read(self._workspace, service, num_lines=num_lines, init=init, version=version)

    def observe(self, name: str) -> Observation:
        """Return how a service is, now.

        Raises:
            NotFound: there is no such service.
        """
        return keeper.look(self._workspace, name)

    def wait(
        self,
        name: str,
        *,
        on_change: Callable[[Observation], None] | None = None,
        timeout_s: float | None = None,
        version: str | None = None,
    ) -> Observation:
        """Return when every version serves what is wanted, or the one that is given.

        Raises:
            OperationFailed: `DeploymentFailed`, with the reason, the trace of `init` and a listing
                of the model folder; or it did not become ready in time.
        """
        return waiting.wait(
            self._workspace, name, on_change=on_change, timeout_s=timeout_s, version=version
        )

    def run(
        self,
        name: str,
        body: bytes,
        content_type: str = "application/json",
        *,
        headers: Mapping[str, str] | None = None,
        query: str = "",
        timeout_s: float = calling.TIMEOUT_S,
    ) -> Reply:
        """Send a request with the service's credential; after a 401 it is sent once more.

        Raises:
            OperationFailed: there was no reply.
        """
        return calling.run(
            self._workspace,
            name,
            body,
            content_type=content_type,
            headers=headers,
            query=query,
            timeout_s=timeout_s,
        )
