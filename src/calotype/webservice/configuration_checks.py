"""Rules between the parameters of a deployment; each gives clauses about what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeGuard

from calotype.serving.settings import NAME_RULE
from calotype.webservice.exceptions import WebserviceException
from calotype.workspace.service_settings import RuntimeSettings

_NAMESPACE_RULE: Final = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
_VERSION_RULE: Final = r"^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$"
_AUTOSCALE: Final = (
    "autoscale_min_replicas",
    "autoscale_max_replicas",
    "autoscale_refresh_seconds",
    "autoscale_target_utilization",
)

Values = Mapping[str, Any]


def limits(values: Values) -> Iterator[str]:
    """A limit is at least what is asked for."""
    for name in ("cpu_cores", "memory_gb"):
        asked, limit = values.get(name), values.get(f"{name}_limit")
        if _is_number(asked) and _is_number(limit) and limit < asked:
            yield f"{name}_limit must be at least {name} ({asked}), not {limit}"
        if asked is None and limit is not None:
            yield f"{name} must be given with {name}_limit"


def autoscale(values: Values, *, is_update: bool = False) -> Iterator[str]:
    """A number of replicas is fixed, or follows the load."""
    enabled, fixed = values.get("autoscale_enabled"), values.get("num_replicas")
    least, most = values.get("autoscale_min_replicas"), values.get("autoscale_max_replicas")
    if _is_number(least) and _is_number(most) and least > most:
        yield f"autoscale_min_replicas ({least}) must not exceed autoscale_max_replicas ({most})"
    given = [name for name in _AUTOSCALE if values.get(name) is not None]
    if enabled is False and given:
        yield f"{', '.join(given)} cannot be given with autoscale_enabled=False"
    if fixed is not None and (enabled or (enabled is None and given)):
        yield "num_replicas cannot be given with autoscale"
    if enabled is False and fixed is None and not is_update:
        yield "num_replicas must be given with autoscale_enabled=False"


def autoscale_kept(values: Values, runtime: RuntimeSettings) -> Iterator[str]:
    """What an update says of replicas goes with what their number follows now.

    Args:
        values: of the update.
        runtime: of what it changes.
    """
    if values.get("autoscale_enabled") is not None:
        return
    given = [name for name in _AUTOSCALE if values.get(name) is not None]
    if values.get("num_replicas") is not None and runtime.autoscales:
        yield "num_replicas needs autoscale_enabled=False, as the number follows the load now"
    if given and not runtime.autoscales:
        yield f"{', '.join(given)} needs autoscale_enabled=True, as the number is fixed now"


def one_kind_of_auth(values: Values) -> Iterator[str]:
    """Keys or tokens, not both."""
    if values.get("auth_enabled") and values.get("token_auth_enabled"):
        yield "auth_enabled and token_auth_enabled cannot both be True"
    keys = [name for name in ("primary_key", "secondary_key") if values.get(name) is not None]
    if keys and values.get("token_auth_enabled"):
        yield f"{', '.join(keys)} cannot be given with token_auth_enabled=True"


def tls(values: Values, *, has_already: bool = False) -> Iterator[str]:
    """TLS needs a certificate, its key and a name."""
    parts = {
        name: values.get(name) for name in ("ssl_cert_pem_file", "ssl_key_pem_file", "ssl_cname")
    }
    missing = [name for name, value in parts.items() if not value]
    if values.get("ssl_enabled") and missing and not has_already:
        yield f"{', '.join(missing)} must be given with ssl_enabled=True"
    for name in ("ssl_cert_pem_file", "ssl_key_pem_file"):
        path = parts[name]
        if isinstance(path, str) and path and not Path(path).is_file():
            yield f"{name}: there is no file {path}"


def together(values: Values, *names: str) -> Iterator[str]:
    """Some parameters come all, or none."""
    missing = [name for name in names if not values.get(name)]
    if missing and len(missing) < len(names):
        yield f"{', '.join(names)} must be given together; {', '.join(missing)} is missing"


def namespace(values: Values) -> Iterator[str]:
    """A name as Kubernetes takes it, which is checked although nothing comes of it."""
    value = values.get("namespace")
    if isinstance(value, str) and not re.match(_NAMESPACE_RULE, value):
        yield f"namespace must be up to 63 lower-case letters, digits and dashes, not {value!r}"


def precision(values: Values) -> Iterator[str]:
    """One of the words that scoring knows."""
    value = values.get("precision")
    if value is not None and value not in ("auto", "fp32", "bf16", "int8"):
        yield f"precision must be auto, fp32, bf16 or int8, not {value!r}"


def version_name(values: Values) -> Iterator[str]:
    """A name as that of a service, or shorter."""
    value = values.get("version_name")
    if isinstance(value, str) and not re.match(_VERSION_RULE, value):
        yield (
            "version_name must be 1 to 32 lower-case letters, digits and dashes, with a letter "
            f"first, not {value!r}"
        )


def check_service_name(name: object) -> None:
    """Let a name pass that a service may have.

    Raises:
        WebserviceException: it may not.
    """
    if not isinstance(name, str) or not re.match(NAME_RULE, name):
        raise WebserviceException(
            "expected 3 to 32 lower-case letters, digits and dashes, with a letter first and a "
            "letter or digit last",
            where="name of the service",
            got=repr(name),
        )


def refuse(problems: list[str], *, what: str = "a deployment configuration") -> None:
    """Raise when there are problems, with all of them.

    Raises:
        WebserviceException: there are some.
    """
    if not problems:
        return
    told = problems[0] if len(problems) == 1 else "".join(f"\n- {text}" for text in problems)
    raise WebserviceException(f"expected {what} without faults", got=told)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
