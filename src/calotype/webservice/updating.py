"""From what `update` gets to what management does."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calotype.webservice import configuration_checks as checks
from calotype.webservice import unsupported
from calotype.webservice.deploying import references_of
from calotype.webservice.deployment_parameters import access_of, problems_of, runtime_of
from calotype.webservice.exceptions import WebserviceException, WebserviceNotFound, told_as
from calotype.workspace.services import Service, Version

if TYPE_CHECKING:
    from calotype.webservice.deployment_configuration import DeploymentConfiguration
    from calotype.webservice.inference_config import InferenceConfig
    from calotype.webservice.model import Model
    from calotype.webservice.webservice import Webservice


def update(
    service: Webservice,
    values: Mapping[str, Any],
    *,
    image: object = None,
    models: Sequence[Model | str] | None = None,
    inference_config: InferenceConfig | None = None,
) -> None:
    """Change a service in place.

    Args:
        service: which.
        values: parameters of its deployment by name; None leaves a thing as it is.
        image: refused.
        models: all of its models.
        inference_config: what runs them.

    Raises:
        WebserviceException: there is nothing to change, or with all faults in one message.
    """
    if image is not None:
        unsupported.refuse("image")
    given = {name: value for name, value in values.items() if value is not None}
    said = {name: value for name, value in given.items() if name not in unsupported.UNSUPPORTED}
    unsupported.ignore(*(given.keys() - said.keys()), stacklevel=3)
    _refuse_keys(said)
    if not said and models is None and inference_config is None:
        if given:
            return
        raise WebserviceException(
            "expected something to change", where=f"update of service '{service.name}'", got="none"
        )
    record = service.record()
    checks.refuse(_problems(said, record, default_of(record)), what="an update")
    access = _access(said, record)
    inference = None
    if inference_config is not None:
        inference = inference_config.build(service.workspace, is_local=record.target == "local")
    with told_as(not_found=WebserviceNotFound):
        service.management.update(
            service.name,
            models=None if models is None else references_of(models),
            inference=inference,
            runtime=runtime_of(said) or None,
            access=access or None,
            tags=said.get("tags"),
            properties=said.get("properties"),
            description=said.get("description"),
        )


def known_only(kind: type[DeploymentConfiguration], own: dict[str, Any]) -> dict[str, Any]:
    """Return further values, each of which a configuration knows.

    Raises:
        TypeError: it does not, as for any unknown argument.
    """
    known = {item.name for item in dataclasses.fields(kind)}
    for name in own.keys() - known:
        raise TypeError(f"update() got an unexpected keyword argument '{name}'")
    return own


def _refuse_keys(said: Mapping[str, Any]) -> None:
    keys = [name for name in ("primary_key", "secondary_key") if name in said]
    if keys:
        raise WebserviceException(
            "expected keys to be exchanged one at a time",
            where="update",
            got=", ".join(keys),
            action="Use service.regen_key('Primary', set_key=...).",
        )


def default_of(record: Service) -> Version:
    """Return the version that takes what no other does."""
    return next((one for one in record.versions if one.is_default), record.versions[0])


def runtime_changes(
    values: Mapping[str, Any], record: Service, version: Version | None
) -> dict[str, Any] | None:
    """Return the settings of a version that some values change, checked; None for none.

    Raises:
        WebserviceException: with all faults in one message.
    """
    said = {name: value for name, value in values.items() if value is not None}
    problems = _problems(said, record, version or default_of(record), is_new=version is None)
    checks.refuse(problems, what="a version")
    return runtime_of(said) or None


def _problems(
    said: Mapping[str, Any], record: Service, version: Version, *, is_new: bool = False
) -> list[str]:
    runtime = version.wanted.runtime
    # A limit alone is held against what is asked for already.
    whole = {
        "cpu_cores": runtime.cpu_cores,
        "memory_gb": runtime.memory_gb,
        "cpu_cores_limit": runtime.cpu_cores_limit,
        "memory_gb_limit": runtime.memory_gb_limit,
        **said,
    }
    return [
        *problems_of(dict(said)),
        *checks.limits(whole),
        *checks.autoscale(said, is_update=not runtime.autoscales),
        *([] if is_new else checks.autoscale_kept(said, runtime)),
        *checks.one_kind_of_auth(said),
        *checks.tls(said, has_already=bool(record.access.tls_certificate)),
    ]


def _access(said: Mapping[str, Any], record: Service) -> dict[str, Any]:
    access = access_of(dict(said))
    for name in ("tls_certificate", "tls_key"):
        if access.get(name):
            access[name] = str(Path(access[name]).absolute())
    if said.get("ssl_enabled") is False:
        access |= {"tls_certificate": "", "tls_key": "", "cname": ""}
    auth = record.access.auth
    if said.get("token_auth_enabled"):
        auth = "token"
    elif said.get("auth_enabled"):
        auth = "key"
    elif (said.get("auth_enabled") is False and auth == "key") or (
        said.get("token_auth_enabled") is False and auth == "token"
    ):
        auth = "none"
    return access if auth == record.access.auth else {**access, "auth": auth}
