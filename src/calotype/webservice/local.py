"""A service that one tries on one's own machine: no keys, no front door, quick to reload."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn

from calotype import errors
from calotype.webservice import unsupported
from calotype.webservice.exceptions import WebserviceException, WebserviceNotFound, told_as
from calotype.webservice.local_configuration import LocalConfiguration
from calotype.webservice.service_filters import is_wanted
from calotype.webservice.updating import default_of, update
from calotype.webservice.webservice import Webservice
from calotype.workspace.workspace import Workspace

if TYPE_CHECKING:
    from calotype.webservice.access_token import AccessToken
    from calotype.webservice.compute import ClusterCompute
    from calotype.webservice.deployment_configuration import DeploymentConfiguration
    from calotype.webservice.inference_config import InferenceConfig
    from calotype.webservice.model import Model

_STATES: Final = {
    "Transitioning": "deploying",
    "Healthy": "running",
    "Unhealthy": "failed",
    "Unschedulable": "failed",
    "Failed": "failed",
}


class LocalWebservice(Webservice):
    """A service on a port of this machine.

    Args:
        workspace: where it is.
        name: of the service.
        must_exist: raise when there is none.

    Raises:
        WebserviceNotFound: there is none of that name.
    """

    compute_type: ClassVar[str] = "Local"
    deploy_configuration = LocalConfiguration
    STATE_DEPLOYING: ClassVar[str] = "deploying"
    STATE_RUNNING: ClassVar[str] = "running"
    STATE_FAILED: ClassVar[str] = "failed"
    STATE_DELETED: ClassVar[str] = "deleted"
    STATE_UNKNOWN: ClassVar[str] = "unknown"

    def __init__(self, workspace: Workspace, name: str, must_exist: bool = True) -> None:
        self._is_deleted = False
        try:
            super().__init__(workspace, name)
        except WebserviceNotFound:
            if must_exist:
                raise

    @staticmethod
    def list(  # pyright: ignore[reportIncompatibleMethodOverride] - so it was
        workspace: Workspace,
        model_name: str | None = None,
        model_id: str | None = None,
        all: bool | None = None,
    ) -> builtins.list[LocalWebservice]:
        """Return the local services that have all that is said, by name.

        Args:
            workspace: where.
            model_name: with any version of this model.
            model_id: with this model, `name:version`.
            all: those that do not run too; only those that do when it is left out.
        """
        found = [
            LocalWebservice(workspace, service.name)
            for service in workspace.services.list()
            if is_wanted(service, compute_type="local", model_name=model_name, model_id=model_id)
        ]
        return [one for one in found if all or one.state in ("running", "deploying")]

    @property
    def state(self) -> str:
        """Deploying, running, failed, deleted or unknown, in small letters: as it is now."""
        try:
            return _STATES.get(self.observed().state, "unknown")
        except WebserviceNotFound:
            return "deleted" if self._is_deleted else "unknown"

    @property
    def port(self) -> int | None:
        """Where it listens."""
        return self.record().access.port

    def wait_for_deployment(
        self, show_output: bool = False, timeout_sec: float | None = None
    ) -> None:
        """Return when it serves what was asked for; see `Webservice.wait_for_deployment`."""
        super().wait_for_deployment(show_output, timeout_sec)

    def update_deployment_state(self, must_exist: bool = False) -> None:
        """Check that it is there still, if it must be.

        Raises:
            WebserviceNotFound: it must be, and is not.
        """
        if must_exist:
            self.record()

    def reload(self, wait: bool = False) -> None:
        """Run its script and the files beside it as they are on disk now.

        Comes back when the changed script answers, so that no answer of the old one is taken for
        one of the new. Callers meanwhile, and when the changed one cannot be started, are
        answered by the old one.

        Args:
            wait: show the progress; it is waited for in any case.

        Raises:
            WebserviceException: it was not deployed from a script, or the changed one cannot be
                started: with the trace of it.
        """
        with told_as(not_found=WebserviceNotFound):
            self.management.reload(self.name)
        self.wait_for_deployment(show_output=wait)

    def update(
        self,
        models: Sequence[Model | str] | None = None,
        image_config: Any = None,
        deployment_config: DeploymentConfiguration | None = None,
        wait: bool = False,
        inference_config: InferenceConfig | None = None,
    ) -> None:
        """Change it in place; what is None stays.

        Args:
            models: all of its models.
            image_config: has no meaning here.
            deployment_config: of `LocalWebservice`.
            wait: until it is ready.
            inference_config: what runs the models.

        Raises:
            WebserviceException: there is nothing to change, or it cannot be changed so.
        """
        from calotype.webservice.inference_config import InferenceConfig

        if isinstance(image_config, InferenceConfig) and inference_config is None:
            inference_config = image_config
        elif image_config is not None:
            unsupported.refuse("image_config")
        if deployment_config is not None and deployment_config.target != "local":
            raise WebserviceException(
                "expected a configuration of LocalWebservice",
                where="deployment_config",
                got=type(deployment_config).__name__,
            )
        values = deployment_config.values if deployment_config else {}
        update(self, values, models=models, inference_config=inference_config)
        if wait:
            self.wait_for_deployment(show_output=True)

    def delete(
        self,
        delete_cache: bool = True,
        delete_image: bool = False,
        delete_volume: bool = True,
    ) -> None:
        """Remove it, with its processes, files and logs; nothing happens when it is gone.

        Args:
            delete_cache, delete_image, delete_volume: have no meaning here.
        """
        unsupported.ignore_given(
            delete_cache=None if delete_cache else delete_cache,
            delete_image=delete_image or None,
            delete_volume=None if delete_volume else delete_volume,
        )
        super().delete()
        self._is_deleted = True

    def get_logs(  # pyright: ignore[reportIncompatibleMethodOverride] - so it was
        self, num_lines: int = 5000, raw: bool = False, init: bool = False
    ) -> str:
        """Return the last lines of its log; `raw` has no meaning here."""
        unsupported.ignore_given(raw=raw or None)
        return super().get_logs(num_lines, init)

    def run(self, input_data: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] - so it was
        """Score an input and return the answer; see `Webservice.run`."""
        return super().run(input_data)

    def deploy_to_cloud(
        self,
        name: str | None = None,
        deployment_config: DeploymentConfiguration | None = None,
        deployment_target: ClusterCompute | None = None,
    ) -> Webservice:
        """Deploy the same models and script on another target of this machine.

        Args:
            name: of the new service; that of this one with the target behind it when left out.
            deployment_config: how it runs; that of `InstanceWebservice` when left out.
            deployment_target: a cluster of `ComputeTarget`.

        Raises:
            WebserviceException: it cannot be deployed so.
        """
        from calotype.webservice.deploying import deploy_as

        wanted = default_of(self.record()).wanted
        return deploy_as(
            self.workspace, name, self.name, wanted, deployment_config, deployment_target
        )

    def get_keys(self) -> NoReturn:
        """A local service has no keys.

        Raises:
            WebserviceException: always.
        """
        self._refuse("keys")

    def regen_key(self, key: str, set_key: str | None = None) -> NoReturn:
        """A local service has no keys.

        Raises:
            WebserviceException: always.
        """
        self._refuse("keys")

    def get_token(self) -> NoReturn:
        """A local service takes no tokens.

        Raises:
            WebserviceException: always.
        """
        self._refuse("tokens")

    def get_access_token(self) -> AccessToken:
        """A local service takes no tokens.

        Raises:
            WebserviceException: always.
        """
        self._refuse("tokens")

    def _refuse(self, what: str) -> NoReturn:
        with told_as():
            raise errors.NotSupported(
                f"expected a service with {what}",
                where=f"service '{self.name}'",
                got="a local one, which everybody on this machine may call",
                action="Deploy it with InstanceWebservice or ClusterWebservice.",
            )
