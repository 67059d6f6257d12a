"""What goes into `/score` and what comes out, independent of the version of the document."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ServiceContract:
    """The shape of requests and answers of one service.

    Attributes:
        input: JSON schema of a JSON body, in the dialect of Swagger 2.0, with an `example`.
        output: the same of the answer.
        versions: the document versions that can express both.
    """

    input: Schema = field(default_factory=lambda: {"type": "object", "example": {}})
    output: Schema = field(default_factory=lambda: {"type": "object", "example": {}})
    versions: tuple[str, ...] = ("2", "3", "3.1")
