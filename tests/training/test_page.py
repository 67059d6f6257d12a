"""`training.html`: whole, self-contained, escaped, and true to the rows it was made of."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from xml.etree import ElementTree

import pytest

from calotype.training.page import duration, render

HOSTILE = "<script>alert('x')</script> & \"é漢字\""


def rows(count: int, **values: float) -> list[dict[str, float]]:
    """Return the metrics of `count` epochs that get better; `values` are the same in all."""
    return [
        {
            "epoch": epoch,
            "learning_rate": 0.001 / epoch,
            "train_loss": 2.0 / epoch,
            "train_error": 0.5 / epoch,
            "validation_loss": 2.5 / epoch,
            "top_1_accuracy": 1 - 0.4 / epoch,
            "top_5_accuracy": 1 - 0.1 / epoch,
            "train_images_per_s": 80.0 + epoch,
            "elapsed_s": 30.0,
            **values,
        }
        for epoch in range(1, count + 1)
    ]


def body(page: str) -> ElementTree.Element:
    """Parse what a page shows; as XML, which forgives nothing."""
    found = re.search(r"<body>.*</body>", page, re.DOTALL)
    assert found
    return ElementTree.fromstring(found.group())  # noqa: S314 - our own page


def text(page: str) -> str:
    return " ".join(" ".join(body(page).itertext()).split())


def marked(page: str, name: str) -> list[ElementTree.Element]:
    """Return the elements that have a class."""
    return [one for one in body(page).iter() if name in one.get("class", "").split()]


def test_a_finished_run_says_which_epoch_is_kept() -> None:
    page = render(rows(5), [("architecture", "resnet18")], kept_epoch=4, is_running=False)
    shown = text(page)
    assert "Kept: epoch 4 of 5, which gets 90.0 % of the validation images right." in shown
    assert "architecture resnet18" in shown
    (kept,) = marked(page, "kept")
    cells = [" ".join("".join(cell.itertext()).split()) for cell in kept]
    expected = "4 0.00025 0.5000 12.50 % 0.6250 90.00 % 97.50 % 84.0 30.0 s kept"
    assert " ".join(cells) == expected
    assert 'http-equiv="refresh"' not in page


@pytest.mark.parametrize(
    ("done", "epochs", "said"),
    [
        (2, 10, "running: epoch 3 of 10"),
        (0, 10, "running: epoch 1 of 10"),
        (2, None, "running: epoch 3"),
        (10, 10, "running: all 10 epochs are done"),
    ],
)
def test_a_run_in_progress_says_where_it_is_and_loads_itself_again(
    done: int, epochs: int | None, said: str
) -> None:
    page = render(rows(done), [], kept_epoch=done or None, is_running=True, epochs=epochs)
    assert f"{said} " in text(page)
    assert re.search(r'<meta http-equiv="refresh" content="\d+">', page)


def test_while_it_runs_the_charts_leave_room_for_the_epochs_to_come() -> None:
    ends = [
        float(marked(page, "curve")[0].get("points", "").split()[-1].partition(",")[0])
        for page in (
            render(rows(2), [], kept_epoch=2, is_running=is_running, epochs=8)
            for is_running in (True, False)
        )
    ]
    assert ends[0] < 200 < ends[1]


@pytest.mark.parametrize("count", [1, 2, 60])
def test_every_curve_stays_inside_its_frame(count: int) -> None:
    page = render(rows(count), [], kept_epoch=count, is_running=False)
    curves = [one for one in body(page).iter() if one.tag.endswith("polyline")]
    assert len(curves) == 7
    for curve in curves:
        places = [tuple(map(float, at.split(","))) for at in curve.get("points", "").split()]
        assert len(places) == count
        assert all(66 <= x <= 496 and 8 <= y <= 238 for x, y in places)


def test_a_single_epoch_is_seen_as_dots() -> None:
    page = render(rows(1), [], kept_epoch=1, is_running=False)
    assert len(marked(page, "dot")) == 7
    assert "epoch 1, validation images: 2.5" in text(page)


def test_values_that_are_not_finite_are_dashes_and_gaps() -> None:
    given = rows(5)
    given[2]["validation_loss"] = math.nan
    given[3]["train_loss"] = math.inf
    page = render(given, [], kept_epoch=5, is_running=False)
    loss = ElementTree.tostring(body(page).findall(".//figure")[0], "unicode")
    assert loss.count("<polyline") == 4
    assert "nan" not in page
    assert "inf" not in page
    assert " – " in text(page)
    assert " ∞ " in text(page)


def test_a_run_of_no_values_at_all_renders() -> None:
    nothing = dict.fromkeys(set(rows(1)[0]) - {"epoch"}, math.nan)
    for kept in (None, 2):
        page = render(rows(2, **nothing), [], kept_epoch=kept, is_running=False)
        assert [one for one in body(page).iter() if one.tag == "polyline"] == []
        assert "nan" not in page


def test_perfect_values_render() -> None:
    values = {"top_1_accuracy": 1.0, "top_5_accuracy": 1.0, "train_error": 0.0, "train_loss": 0.0}
    page = render(rows(3, **values), [], kept_epoch=1, is_running=False)
    assert "200 %" not in page
    assert "100.00 %" in text(page)


def test_names_cannot_become_markup() -> None:
    page = render(rows(1), [(HOSTILE, HOSTILE)], kept_epoch=1, is_running=False, title=HOSTILE)
    assert "<script" not in page
    assert HOSTILE in text(page)


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = render(rows(3), [], kept_epoch=1, is_running=True)
    assert not re.search(r"https?://|url\(|@import|<link|<script|<img|\ssrc=|\shref=", page)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'" in page
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (3599.7, "1 h 0 min"),
        (7322.0, "2 h 2 min"),
        (math.nan, "–"),
    ],
)
def test_durations_have_two_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said
