"""Axes: round ticks, ends that hold every value, and no trouble with values that are none."""

from __future__ import annotations

import math
from typing import TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calotype.pages.charts import Axis, Frame, unbroken


class Options(TypedDict, total=False):
    low: float
    high: float
    is_whole: bool
    is_percent: bool


def texts(axis: Axis) -> list[str]:
    return [tick.text for tick in axis.ticks]


@pytest.mark.parametrize(
    ("values", "options", "said"),
    [
        ([0.3, 1.7], {"low": 0.0}, "0.0|0.5|1.0|1.5|2.0"),
        ([0.001, 2e-5], {"low": 0.0}, "0|0.0002|0.0004|0.0006|0.0008|0.001"),
        ([0.93, 0.99], {"high": 1.0, "is_percent": True}, "92 %|94 %|96 %|98 %|100 %"),
        (
            [0.991, 0.997],
            {"high": 1.0, "is_percent": True},
            "99.0 %|99.2 %|99.4 %|99.6 %|99.8 %|100.0 %",
        ),
        ([12.0, 1840.0], {"low": 0.0}, "0|500|1,000|1,500|2,000"),
        ([3e6], {"low": 0.0}, "0|1e+06|2e+06|3e+06"),
        ([], {"low": 0.5, "high": 3.5, "is_whole": True}, "1|2|3"),
        ([], {"low": 0.5, "high": 80.5, "is_whole": True}, "10|20|30|40|50|60|70|80"),
        ([1.0, 1.0], {"high": 1.0, "is_percent": True}, "0 %|100 %"),
        ([0.0], {"low": 0.0}, "0|1"),
        ([math.nan, math.inf], {"low": 0.0}, "0.0|0.2|0.4|0.6|0.8|1.0"),
    ],
)
def test_ticks_are_round(values: list[float], options: Options, said: str) -> None:
    assert texts(Axis.around(values, **options)) == said.split("|")


@given(st.lists(st.floats(0, 1e12, allow_subnormal=False), min_size=1, max_size=20))
def test_every_value_lies_between_the_ends(values: list[float]) -> None:
    axis = Axis.around(values, low=0.0)
    assert axis.low < axis.high
    assert 2 <= len(axis.ticks) <= 7
    assert all(-1e-6 <= axis.part(value) <= 1 + 1e-6 for value in values)
    assert len(set(texts(axis))) == len(axis.ticks)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_parts_of_one_never_reach_beyond_one(values: list[float]) -> None:
    axis = Axis.around(values, high=1.0, is_percent=True)
    assert axis.high == pytest.approx(1.0)
    assert axis.low >= -1e-9
    assert all(-1e-6 <= axis.part(value) <= 1 + 1e-6 for value in values)


def test_a_frame_places_the_corners() -> None:
    axis = Axis.around([0.0, 10.0], low=0.0)
    frame = Frame(axis, axis, width=200, height=100, left=30, top=5)
    assert (frame.x_of(0), frame.y_of(0)) == (30, 105)
    assert frame.points([(0, 10), (10, 0)]) == "30.0,5.0 230.0,105.0"


def test_a_curve_is_broken_where_it_has_no_value() -> None:
    places = [(1, 0.5), (2, math.nan), (3, 0.25), (4, 0.125), (5, math.inf)]
    assert unbroken(places) == [[(1, 0.5)], [(3, 0.25), (4, 0.125)]]
    assert unbroken([(1, math.nan)]) == []
