"""Who gets which share of the requests, and which version has which role."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from calotype import errors
from calotype.workspace.services import Service, ServiceEdit, Version

Role = Literal["is_default", "is_control"]


def default_of(service: Service) -> Version:
    """Return the version that takes what no other one does."""
    return next((one for one in service.versions if one.is_default), service.versions[0])


def split(service: Service, percents: Mapping[str, int], *, added: str = "") -> dict[str, int]:
    """Return the share of every version when some are set.

    Raises:
        NotFound: there is no such version.
        NotInRange: the shares are more than 100 percent, or none is left out and they are less.
    """
    for name, percent in percents.items():
        if name != added:
            service.version(name)
        check_percent(name, percent)
    default = default_of(service).name
    shares = {one.name: one.traffic_percent for one in service.versions} | dict(percents)
    others = sum(percent for name, percent in shares.items() if name != default)
    total = others + percents.get(default, 0)
    if total > 100 or (default in percents and total != 100):
        raise errors.NotInRange(
            "expected shares that are 100 percent together",
            where=f"traffic of service '{service.name}'",
            got=", ".join(f"{name} {percent}" for name, percent in shares.items()),
            action=f"Leave out '{default}', which then takes the remainder.",
        )
    return {**shares, default: 100 - others}


def require_cluster(service: Service) -> None:
    """Refuse a service that cannot have several versions.

    Raises:
        NotSupported: its target has one version.
    """
    if service.target != "cluster":
        raise errors.NotSupported(
            "expected a service on target 'cluster'",
            where=f"versions of service '{service.name}'",
            got=f"target '{service.target}', whose services have one version",
            action="Update it in place, or deploy it on 'cluster'.",
        )


def check_percent(name: str, percent: int) -> None:
    """Refuse what is no share.

    Raises:
        NotInRange: it is negative or more than all.
    """
    if not 0 <= percent <= 100:
        raise errors.NotInRange(
            "must lie between 0 and 100", where=f"traffic of version '{name}'", got=str(percent)
        )


def with_roles(service: Service, name: str, roles: tuple[Role, ...]) -> Service:
    """Return a service in which a version has roles, of which there is one each."""
    versions = tuple(
        dataclasses.replace(one, **{role: one.name == name for role in roles})
        for one in service.versions
    )
    return dataclasses.replace(service, versions=versions)


def write_shares(edit: ServiceEdit, shares: Mapping[str, int]) -> None:
    """Write the shares of versions down."""
    for name, percent in shares.items():
        edit.change_version(name, traffic_percent=percent)


def write_roles(edit: ServiceEdit, name: str, roles: tuple[Role, ...]) -> None:
    """Give a version roles, and take them from the others."""
    if not roles:
        return
    for other in edit.service.versions:
        if other.name != name:
            edit.change_version(other.name, **dict.fromkeys(roles, False))
    edit.change_version(name, **dict.fromkeys(roles, True))


def roles_of(*, is_default: bool | None, is_control: bool | None) -> tuple[Role, ...]:
    """Return the roles that are asked for."""
    asked: dict[Role, bool | None] = {"is_default": is_default, "is_control": is_control}
    return tuple(role for role, is_asked in asked.items() if is_asked)
