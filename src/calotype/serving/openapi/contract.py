"""What goes into `/score` and what comes out, independent of the version of the document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

Schema = dict[str, Any]

ALL_VERSIONS = ("2", "3", "3.1")


@dataclass(frozen=True, slots=True)
class QueryParameter:
    """An optional argument in the query string of `/score`.

    Attributes:
        name: as it is written in the query.
        schema: JSON schema of a single value.
        description: what it does, in a sentence.
    """

    name: str
    schema: Schema
    description: str


@dataclass(frozen=True, slots=True)
class BodyForm:
    """A further form of the body; Swagger 2.0, which knows one form only, tells it in words.

    Attributes:
        name: of the schema in the document, such as `DesignerInput`.
        content_type: such as `image/*`.
        schema: of the body, in the dialect of Swagger 2.0.
        output: schema of the answer, when it differs from the contract's.
        description: what the body holds and what comes back, in a sentence.
    """

    name: str
    content_type: str
    schema: Schema
    description: str
    output: Schema | None = None


@dataclass(frozen=True, slots=True)
class ServiceContract:
    """The shape of requests and answers of one service.

    Schemas are in the dialect of Swagger 2.0, with an `example` at the top and with `x-nullable`
    where null may stand.

    Attributes:
        input: schema of a JSON body.
        output: schema of the answer to it.
        versions: the document versions that can express both.
        description: of `/score`, beyond the standard sentence.
        is_described: whether the shapes are known; else they are the generic ones.
        query: arguments of the query string.
        forms: further forms of the body.
    """

    input: Schema = field(default_factory=lambda: {"type": "object", "example": {}})
    output: Schema = field(default_factory=lambda: {"type": "object", "example": {}})
    versions: tuple[str, ...] = ALL_VERSIONS
    description: str = ""
    is_described: bool = False
    query: tuple[QueryParameter, ...] = ()
    forms: tuple[BodyForm, ...] = ()

    @property
    def required(self) -> tuple[str, ...]:
        """The names that a JSON body must have."""
        return tuple(self.input.get("required", ()))

    @property
    def is_power_bi(self) -> bool:
        """Whether `Inputs` goes in and `Results` comes out, as Power BI needs it."""
        takes, gives = self.input.get("properties", {}), self.output.get("properties", {})
        return next(iter(takes), None) == "Inputs" and "Results" in gives

    def to_dict(self) -> dict[str, Any]:
        """Return the contract as plain JSON, to be sent between processes."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make the contract from what `to_dict` returned, also after a trip through JSON."""
        known = dict(values)
        known["versions"] = tuple(known.get("versions", ALL_VERSIONS))
        known["query"] = tuple(QueryParameter(**one) for one in known.get("query", ()))
        known["forms"] = tuple(BodyForm(**one) for one in known.get("forms", ()))
        return cls(**known)
