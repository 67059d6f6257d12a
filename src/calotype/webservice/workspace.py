"""The workspace under the names of the retired SDK: with what old scripts touch."""

from __future__ import annotations

import builtins
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

from calotype import errors
from calotype.webservice import older_configuration, unsupported
from calotype.webservice.exceptions import UserErrorException, told_as
from calotype.webservice.named import NamedDatasets, NamedEnvironments, NamedModels
from calotype.webservice.retired import Retired
from calotype.webservice.unsupported_members import WORKSPACE_ARGUMENTS
from calotype.workspace import workspace as plain
from calotype.workspace.location import Location, find

if TYPE_CHECKING:
    from calotype.webservice.compute import ClusterCompute
    from calotype.webservice.webservice import Webservice


class Workspace(plain.Workspace):
    """Datasets, models, environments, runs and services, and where they are kept.

    Made by `create`, `from_config` or `get`. Its models, datasets and environments are registries
    and dictionaries of the latest versions by name, too.

    The constructor is that of the retired SDK: it returns the workspace that a command would use
    here, when that has the name.

    Args:
        subscription_id, resource_group, auth, tags, retired: have no meaning here.
        workspace_name: of the workspace.

    Raises:
        TypeError: there never was such an argument.
        UserErrorException: there is none here, or it has another name.
    """

    def __init__(
        self,
        subscription_id: str | Location | None = None,
        resource_group: str | None = None,
        workspace_name: str | None = None,
        auth: Any = None,
        *,
        tags: Mapping[str, str] | None = None,
        **retired: Any,
    ) -> None:
        if isinstance(subscription_id, Location):  # as `create` and `from_config` call it
            super().__init__(subscription_id)
            return
        unsupported.ignore_given(
            subscription_id=subscription_id,
            resource_group=resource_group,
            auth=auth,
        )
        if tags is not None:
            unsupported.ignore("Workspace.tags")
        unsupported.ignore_retired(retired, WORKSPACE_ARGUMENTS, of="Workspace")
        with told_as(UserErrorException):
            super().__init__(Location.read(find()))
            older_configuration.check_name(self, workspace_name, where="Workspace")

    images = Retired("Image")
    get_run = Retired("get_run")
    set_default_datastore = Retired("Datastore")
    get_mlflow_tracking_uri = Retired("azureml.mlflow")
    get_default_compute_target = Retired("AmlCompute")
    linked_services = Retired("LinkedService")
    private_endpoints = Retired("PrivateEndPoint")
    add_private_endpoint = Retired("PrivateEndPoint")
    delete_private_endpoint_connection = Retired("PrivateEndPoint")
    delete = Retired()
    update = Retired()
    update_dependencies = Retired()
    setup = Retired()
    sync_keys = Retired()
    list_keys = Retired()
    diagnose_workspace = Retired()
    discovery_url = Retired()
    service_context = Retired()
    sku = Retired()
    set_connection = Retired()
    get_connection = Retired()
    list_connections = Retired()
    delete_connection = Retired()

    def __repr__(self) -> str:
        return f"Workspace(name={self.name!r}, location={self.location!r})"

    @classmethod
    def create(  # pyright: ignore[reportIncompatibleMethodOverride] - more is accepted
        cls,
        name: str,
        location: str | Path | None = None,
        exist_ok: bool = False,
        *,
        auth: Any = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        database: str = "",
        artifacts: str = "",
        tags: Mapping[str, str] | None = None,
        show_output: bool = True,
        **retired: Any,
    ) -> Self:
        """Make a workspace.

        Args:
            name: 1 to 255 letters, digits, dashes and underscores.
            location: the folder that gets a `.calotype`; the working folder when left out. With a
                subscription it named a region, and is ignored unless it is a folder.
            exist_ok: return the one that is there.
            auth, subscription_id, resource_group, tags, retired: have no meaning here.
            database: SQLAlchemy URL of a database elsewhere.
            artifacts: fsspec URL of a store elsewhere.
            show_output: nothing takes so long that it would show its progress.

        Raises:
            TypeError: there never was such an argument.
            AlreadyExists: there is one, and `exist_ok` is false (0057).
            CannotWrite: the folder cannot be written to (0046).
        """
        unsupported.ignore_given(
            auth=auth,
            subscription_id=subscription_id,
            resource_group=resource_group,
        )
        if tags is not None:
            unsupported.ignore("Workspace.tags")
        unsupported.ignore_retired(retired, WORKSPACE_ARGUMENTS, of="Workspace.create")
        if subscription_id is not None and location is not None and not Path(location).is_dir():
            location = None
        return super().create(name, location, exist_ok, database=database, artifacts=artifacts)

    @classmethod
    def from_config(
        cls,
        path: str | Path | None = None,
        auth: Any = None,
        *,
        _file_name: str | None = None,
        _logger: Any = None,
    ) -> Self:
        """Return the workspace at `path`, or the one that a command would use here.

        Without a path, a `config.json` of this folder comes before the user's own workspace.

        Args:
            path: a folder, or a `config.json` of the retired SDK: then the workspace in its folder
                or above, else the one that a command would use, which must have the name that the
                file says.
            auth, _logger: have no meaning here.
            _file_name: of that file, when `path` is its folder.

        Raises:
            UserErrorException: there is none, or it has another name.
        """
        unsupported.ignore_given(auth=auth, _logger=_logger)
        with told_as(UserErrorException):
            asked = older_configuration.read(path, _file_name)
            workspace = super().from_config(asked.place)
            if asked.name is not None:
                older_configuration.check_name(workspace, asked.name, where=str(asked.file))
        return workspace

    @classmethod
    def get(  # pyright: ignore[reportIncompatibleMethodOverride] - more is accepted
        cls,
        name: str,
        location: str | Path | None = None,
        *,
        auth: Any = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        **retired: Any,
    ) -> Self:
        """Return the workspace of that name.

        Args:
            name: of the workspace.
            location: its folder; where a command would look when left out.
            auth, subscription_id, resource_group, retired: have no meaning here.

        Raises:
            NotFound: there is none here, or it has another name.
            TypeError: there never was such an argument.
        """
        unsupported.ignore_given(
            auth=auth, subscription_id=subscription_id, resource_group=resource_group
        )
        unsupported.ignore_retired(retired, WORKSPACE_ARGUMENTS, of="Workspace.get")
        return super().get(name, location)

    @staticmethod
    def list(
        subscription_id: str | None = None, auth: Any = None, resource_group: str | None = None
    ) -> dict[str, builtins.list[Workspace]]:
        """Return the workspace that a command would use here, by its name; nothing if none.

        Args:
            subscription_id, auth, resource_group: have no meaning here.
        """
        unsupported.ignore_given(
            subscription_id=subscription_id, auth=auth, resource_group=resource_group
        )
        try:
            found = Workspace.from_config()
        except errors.NotFound:
            return {}
        return {found.name: [found]}

    @functools.cached_property
    def models(self) -> NamedModels:
        """Registered models."""
        return NamedModels(self)

    @functools.cached_property
    def datasets(self) -> NamedDatasets:
        """Registered datasets."""
        return NamedDatasets(self)

    @functools.cached_property
    def environments(self) -> NamedEnvironments:
        """Registered environments."""
        return NamedEnvironments(self)

    @property
    def webservices(self) -> dict[str, Webservice]:
        """Services by name."""
        from calotype.webservice.webservice import Webservice

        return {one.name: one for one in Webservice.list(self)}

    @property
    def compute_targets(self) -> dict[str, ClusterCompute]:
        """The one cluster by its name: this machine."""
        from calotype.webservice.compute import ComputeTarget

        return {one.name: one for one in ComputeTarget.list(self)}

    @property
    def subscription_id(self) -> str:
        """Nothing: there is no subscription."""
        return ""

    @property
    def resource_group(self) -> str:
        """Nothing: there is no group."""
        return ""

    def get_details(self) -> dict[str, Any]:
        """Return its name and where it is."""
        return {"name": self.name, "location": self.location}

    def get_default_datastore(self) -> NoReturn:
        """There are no datastores.

        Raises:
            WebserviceException: always.
        """
        unsupported.refuse("Datastore")

    def get_default_keyvault(self) -> NoReturn:
        """There is no key vault.

        Raises:
            WebserviceException: always.
        """
        unsupported.refuse("Keyvault")

    @property
    def experiments(self) -> NoReturn:
        """There are no experiments.

        Raises:
            WebserviceException: always.
        """
        unsupported.refuse("Experiment")

    @property
    def datastores(self) -> NoReturn:
        """There are no datastores.

        Raises:
            WebserviceException: always.
        """
        unsupported.refuse("Datastore")

    @property
    def tags(self) -> dict[str, str]:
        """Nothing: a workspace has none."""
        unsupported.ignore("Workspace.tags")
        return {}

    def write_config(self, path: str | Path | None = None, file_name: str | None = None) -> None:
        """Write a file that `from_config` takes, from whatever folder.

        A workspace is found without one, by its `.calotype` folder.

        Args:
            path: a folder; `.azureml` when left out.
            file_name: of the file; config.json when left out.

        Raises:
            UserErrorException: it cannot be written.
        """
        with told_as(UserErrorException):
            older_configuration.write(self, Path(path or ".azureml"), file_name)
