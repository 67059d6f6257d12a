"""A token of a service, with its times."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class AccessToken:
    """What callers show for an hour.

    Attributes:
        access_token: what follows `Bearer`.
        token_type: "Bearer".
        refresh_after: when to get the next one.
        expiry_on: when it ends.
    """

    access_token: str = field(repr=False)
    token_type: str
    refresh_after: datetime
    expiry_on: datetime
