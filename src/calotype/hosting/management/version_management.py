"""Changes of the versions under one name: added, shared out, rolled out and back."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from calotype.hosting.layout import Layout
from calotype.hosting.management import rolling, updating, versions
from calotype.hosting.management.keeper import require_kept_here
from calotype.hosting.management.locking import changing
from calotype.hosting.management.shares import default_of, roles_of
from calotype.workspace.service_settings import Inference, RuntimeSettings
from calotype.workspace.services import Service
from calotype.workspace.workspace import Workspace


class VersionManagement:
    """The part of `Management` that is about versions.

    Args:
        workspace: whose.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @contextlib.contextmanager
    def changing(self, name: str) -> Generator[Service]:
        """Be the only one that changes a service, and get its record.

        Raises:
            Busy: somebody else changes it.
            NotFound: there is none of that name.
            NotSupported: another machine keeps it.
        """
        with changing(Layout.of(self._workspace.place), name):
            service = self._workspace.services.get(name)
            require_kept_here(self._workspace, service)
            yield service

    def create_version(
        self,
        name: str,
        version: str,
        *,
        models: Sequence[str] | None = None,
        inference: Inference | None = None,
        runtime: Mapping[str, Any] | RuntimeSettings | None = None,
        traffic_percent: int = 0,
        is_default: bool = False,
        is_control: bool = False,
    ) -> Service:
        """Add a version to a service; what is left out is as in the default version.

        Raises:
            CalotypeError: there cannot be such a version; nothing has changed then.
        """
        with self.changing(name) as service:
            return versions.create(
                self._workspace,
                service,
                version,
                models=models,
                inference=inference,
                runtime=runtime,
                traffic_percent=traffic_percent,
                is_default=is_default,
                is_control=is_control,
            )

    def update_version(
        self,
        name: str,
        version: str,
        *,
        models: Sequence[str] | None = None,
        inference: Inference | None = None,
        runtime: Mapping[str, Any] | RuntimeSettings | None = None,
        traffic_percent: int | None = None,
        is_default: bool | None = None,
        is_control: bool | None = None,
    ) -> Service:
        """Change a version in place: what it runs, its share of the traffic, its role.

        Raises:
            CalotypeError: the change cannot be made; nothing has changed then.
        """
        with self.changing(name) as service:
            changes = updating.Changes(
                version=version,
                models=models,
                inference=inference,
                runtime=runtime,
                traffic_percent=traffic_percent,
                roles=roles_of(is_default=is_default, is_control=is_control),
            )
            return updating.apply(
                self._workspace, service, changes, action="service.update_version"
            )

    def delete_version(self, name: str, version: str) -> Service:
        """Remove a version; its share goes to the default one.

        Raises:
            NotFound: there is none of that name.
            InUse: it is the default version.
        """
        with self.changing(name) as service:
            return versions.delete(self._workspace, service, version)

    def set_traffic(
        self, name: str, percents: Mapping[str, int], *, mirror: Mapping[str, int] | None = None
    ) -> Service:
        """Share the requests out over the versions; the default one takes what others leave.

        A roll-out of a version whose share is set, or that is measured against one, ends.

        Args:
            name: of the service.
            percents: by version; those left out keep theirs.
            mirror: percent of the requests of which a version gets a copy, whose answer nobody
                sees.

        Raises:
            NotFound: there is no such version.
            NotInRange: the shares are more than 100 percent.
        """
        with self.changing(name) as service:
            return versions.set_traffic(self._workspace, service, percents, mirror)

    def start_canary(self, name: str, version: str, **rules: Any) -> Service:
        """Give a version more and more of the traffic while it does no worse than the old one.

        Args:
            name: of the service.
            version: the new one.
            rules: of `hosting.canary.RolloutRules`.

        Raises:
            CalotypeError: there is no such version, it is not Healthy, or a rule is none.
        """
        with self.changing(name) as service:
            return rolling.start_canary(self._workspace, service, version, rules)

    def roll_back(
        self, name: str, version: str | None = None, *, revision: int | None = None
    ) -> Service:
        """Undo the last change of a version, or its roll-out.

        Args:
            name: of the service.
            version: which of its versions; the one that is being rolled out, else the default one.
            revision: go back to this one; the one before when left out.

        Raises:
            NotFound: there is nothing to go back to.
        """
        with self.changing(name) as service:
            chosen = version or _rolled_out(service) or default_of(service).name
            return rolling.roll_back(self._workspace, service, chosen, revision)


def _rolled_out(service: Service) -> str:
    return next((one.name for one in service.versions if rolling.is_rolled_out(one)), "")
