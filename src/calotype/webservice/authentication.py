"""Ways to log into the cloud, which nobody needs here."""

from __future__ import annotations

from typing import Any

from calotype.webservice import unsupported


class Authentication:
    """Accepted, with a warning, so that old scripts go on."""

    def __init__(self, *_args: Any, **_named: Any) -> None:
        unsupported.ignore("auth", stacklevel=2)
