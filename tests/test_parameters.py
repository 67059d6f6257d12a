"""Declared parameters: what is said about their ranges, and about values outside."""

from __future__ import annotations

import pytest
from pydantic import Field

from calotype import errors
from calotype.parameters import Parameters, describe


class Some(Parameters):
    """Parameters with every kind of bound."""

    closed: int = Field(default=1, ge=0, le=180, description="Degrees.")
    above: float = Field(default=1, gt=0, description="A rate.")
    half_open: float = Field(default=0.5, gt=0, le=1, description="A share.")
    maybe: float | None = Field(default=None, gt=0, description="Minutes.")
    free: int = Field(default=1, description="Anything.")


def test_excluded_bounds_are_not_said_to_be_allowed() -> None:
    ranges = {name: one["range"] for name, one in describe(Some).items()}
    assert ranges == {
        "closed": "0 to 180",
        "above": "greater than 0",
        "half_open": "greater than 0 and at most 1",
        "maybe": "greater than 0",
        "free": "",
    }
    assert describe(Some)["above"]["minimum"] is None


@pytest.mark.parametrize(
    ("values", "number", "said"),
    [
        ({"closed": 181}, 8, "must lie between 0 and 180"),
        ({"above": 0}, 4, "must be greater than 0"),
        ({"half_open": 0}, 8, "must be greater than 0 and at most 1"),
        ({"half_open": 1.5}, 8, "must be greater than 0 and at most 1"),
        ({"maybe": -1}, 4, "must be greater than 0"),
    ],
)
def test_a_value_outside_gets_the_number_of_its_bound(
    values: dict[str, float], number: int, said: str
) -> None:
    with pytest.raises(errors.ParameterError, match=said) as caught:
        Some.of(values)
    assert caught.value.number == number
