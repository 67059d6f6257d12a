"""Errors under the names of the retired SDK; each is one of `calotype.errors` too."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Generator
from typing import Any

from calotype import errors


class CloudException(errors.CalotypeError):
    """The root of what the SDK raises; the retired one called it AzureMLException."""

    number = 39

    @property
    def message(self) -> str:
        """The whole message."""
        return str(self)


class UserErrorException(CloudException):
    """The call is wrong; it will fail again until it is changed."""

    http_status = 400


class ComputeTargetException(CloudException):
    """There is no such cluster; never raised, as this machine is there under any name."""


class WebserviceException(CloudException):
    """Deploying, finding, calling or changing a service or a model failed."""


class WebserviceNotFound(WebserviceException, errors.NotFound):
    """There is no service of that name."""

    number = errors.NotFound.number
    http_status = errors.NotFound.http_status


class ModelNotFound(WebserviceException, errors.NotFound):
    """There is no model of that name and version."""

    number = errors.NotFound.number
    http_status = errors.NotFound.http_status


WebserviceNotFoundException = WebserviceNotFound
ModelNotFoundException = ModelNotFound


@contextlib.contextmanager
def told_as(
    kind: type[CloudException] = WebserviceException,
    *,
    not_found: type[errors.CalotypeError] | None = None,
) -> Generator[None]:
    """Turn errors of Calotype into ones that also are of `kind`, with the same parts and number.

    The first one would only be told twice: it is not shown as the cause.

    Args:
        kind: what callers of the SDK expect.
        not_found: what stands for `errors.NotFound`.
    """
    try:
        yield
    except kind:
        raise
    except errors.NotFound as error:
        raise _as(error, not_found or _both(type(error), kind)) from None
    except errors.CalotypeError as error:
        raise _as(error, _both(type(error), kind)) from None


@functools.cache
def _both(
    own: type[errors.CalotypeError], kind: type[CloudException]
) -> type[errors.CalotypeError]:
    if issubclass(kind, own):
        return kind
    bases: Any = (own, kind)  # which of them come together is known at run time only
    return type(own.__name__, bases, {"__doc__": own.__doc__, "__module__": __name__})


def _as(error: errors.CalotypeError, kind: type[errors.CalotypeError]) -> errors.CalotypeError:
    made = kind.__new__(kind, *error.args)
    made.__dict__.update(error.__dict__)
    return made
