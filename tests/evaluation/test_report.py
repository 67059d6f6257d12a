"""The report: whole, self-contained, escaped, and readable without a script."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from drawn import Drawn, draw
from PIL import Image

from calotype.evaluation import evaluate, wording
from calotype.evaluation.comparison import Comparison, Matching, McNemar
from calotype.evaluation.intervals import Estimate
from calotype.evaluation.metrics import METRICS

VOID = {"meta", "br", "img", "link", "input", "hr"}
STRANGE = ("<script>alert(1)</script>", '"é漢字&', "01", "", "a" * 60, "x' onload='y")


class Page(HTMLParser):
    """Reads a page strictly: every tag that opens must close in its place."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, attribute: str) -> list[str]:
        """Return the values of an attribute wherever it stands."""
        return [value for name, value in self.attributes if name == attribute]


class Photos:
    """Pictures for every image but the fourth, which is damaged, and the fifth, which is gone."""

    def read(self, image_id: int, path: str) -> bytes | None:
        assert path == f"photos/{image_id}.jpg"
        if image_id == 4:
            return b"no image"
        if image_id == 5:
            return None
        file = io.BytesIO()
        Image.new("RGB", (400, 300), (image_id % 256, 90, 90)).save(file, "PNG")
        return file.getvalue()


def report_of(tmp_path: Path, *drawn: Drawn, photos: Photos | None = None) -> str:
    """Evaluate, and return the report."""
    paths = [each.write(tmp_path / f"scored{k}") for k, each in enumerate(drawn)]
    evaluation = evaluate(*paths, out=tmp_path / "out", resamples=20, thumbnails=photos)
    return evaluation.report.read_text(encoding="utf-8")


@pytest.fixture
def strange(tmp_path: Path) -> str:
    """A report that compares two sets with hostile class names, with pictures."""
    left, right = (draw(120, STRANGE, skill=skill, strangers=2) for skill in (1, 2))
    return report_of(tmp_path, left, right, photos=Photos())


def test_the_page_is_well_formed_and_says_the_names_as_they_are(strange: str) -> None:
    page = Page(strange)
    for name in STRANGE:
        assert name in page.text
    assert "Evaluation of scored0 and scored1" in page.text


def test_names_cannot_become_markup(strange: str) -> None:
    page = Page(strange)
    assert "script" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "<script>alert" not in strange


def test_the_page_needs_nothing_from_elsewhere(strange: str) -> None:
    page = Page(strange)
    assert not re.search(r"https?://", strange)
    assert {"link", "iframe", "object", "embed", "base"}.isdisjoint(page.tags)
    assert page.values("src")
    assert all(value.startswith("data:image/jpeg;base64,") for value in page.values("src"))
    assert not page.values("href")
    assert "url(" not in strange
    assert "@import" not in strange


def test_the_policy_allows_exactly_the_style_of_the_page(strange: str) -> None:
    style = re.findall(r"<style>(.*?)</style>", strange, re.DOTALL)
    assert len(style) == 1
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    page = Page(strange)
    (policy,) = (value for value in page.values("content") if "default-src" in value)
    assert policy == f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"
    assert not page.values("style")  # the policy would ignore it
    assert "prefers-color-scheme: dark" in style[0]
    assert "@media print" in style[0]


def test_pictures_are_small_and_a_missing_one_has_a_place(tmp_path: Path) -> None:
    drawn = draw(60, 3, skill=0)
    page = report_of(tmp_path, drawn, photos=Photos())
    uris = [value for value in Page(page).values("src")]
    assert 20 < len(uris) <= 32
    for uri in uris:
        content = base64.b64decode(uri.partition(",")[2])
        with Image.open(io.BytesIO(content)) as image:
            assert image.format == "JPEG"
            assert image.size == (160, 120)


def test_a_picture_that_cannot_be_shown_has_a_place(tmp_path: Path) -> None:
    page = report_of(tmp_path, draw(8, 3, skill=0), photos=Photos())
    assert page.count("no picture") == 2
    assert len(Page(page).values("src")) == 6


def test_the_gallery_shows_the_surest_mistakes_and_the_least_certain_hits(tmp_path: Path) -> None:
    drawn = draw(300, 3, skill=1)
    text = Page(report_of(tmp_path, drawn)).text
    confidence = drawn.scores.max(axis=0)
    is_wrong = drawn.actual != drawn.predicted
    surest = int((confidence * is_wrong).argmax())
    shakiest = int((confidence + is_wrong).argmin())
    mistakes, _, hits = text.partition("Least certain hits")
    assert re.findall(r"photos/\d+\.jpg", mistakes)[0] == f"photos/{surest}.jpg"
    assert re.findall(r"photos/\d+\.jpg", hits)[0] == f"photos/{shakiest}.jpg"
    assert len(re.findall(r"photos/\d+\.jpg", mistakes)) == 24
    assert len(re.findall(r"photos/\d+\.jpg", hits)) == 8


def test_a_perfect_model_has_no_mistakes_to_show(tmp_path: Path) -> None:
    text = Page(report_of(tmp_path, draw(60, 3, skill=40))).text
    assert "Surest mistakes" not in text
    assert "Least certain hits" in text
    assert "100.0 %" in text


def test_counts_and_unknown_categories_are_said(tmp_path: Path) -> None:
    drawn = replace(draw(1200, 3, strangers=5), unlabelled=frozenset({1, 2}))
    text = Page(report_of(tmp_path, drawn)).text
    assert "1,198" in text
    assert "Without a category" in text
    assert "5 of the images" in " ".join(text.split())
    assert "stranger (5)" in text


def test_few_classes_have_a_matrix_and_many_a_list(tmp_path: Path) -> None:
    few = Page(report_of(tmp_path / "few", draw(100, 30)))
    many = Page(report_of(tmp_path / "many", draw(100, 31)))
    assert "Confusion matrix" in few.text
    assert "Most frequent mistakes" not in few.text
    assert "Most frequent mistakes" in many.text
    assert "Confusion matrix" not in many.text
    assert few.tags.count("td") > 30 * 30


@pytest.mark.parametrize("classes", [1, 2])
def test_small_sets_of_classes_have_a_report_too(tmp_path: Path, classes: int) -> None:
    text = Page(report_of(tmp_path, draw(20, classes))).text
    assert ("second of the two classes" in text) == (classes == 2)
    assert ("False positive rate" in text) == (classes == 2)


def test_charts_stay_inside_their_frames(tmp_path: Path) -> None:
    page = Page(report_of(tmp_path, draw(500, 12, skill=1)))
    assert len(page.values("points")) == 2 * 11
    for points in page.values("points"):
        for point in points.split():
            x, y = map(float, point.split(","))
            assert 50 <= x <= 350
            assert 8 <= y <= 308


def estimate(low: float, value: float, high: float) -> Estimate:
    return Estimate(value, low, high)


def comparison(low: float, value: float, high: float) -> Comparison:
    rows = np.arange(3)
    differences = {"overall_accuracy": estimate(low, value, high)}
    return Comparison(Matching(rows, rows, 0, 0), None, differences)


@pytest.mark.parametrize(
    ("ends", "sentence"),
    [
        (
            (0.01, 0.02, 0.03),
            "B is more accurate than A: by 2.0 percentage points (95 % interval 1.0",
        ),
        (
            (-0.03, -0.02, -0.01),
            "B is less accurate than A: by 2.0 percentage points (95 % interval 1",
        ),
        ((-0.01, 0.02, 0.05), "Neither is clearly more accurate: B differs from A by +2.0"),
    ],
)
def test_the_verdict_names_the_better_one_only_when_it_is_clear(
    ends: tuple[float, float, float], sentence: str
) -> None:
    assert wording.verdict(comparison(*ends), ["A", "B"]).startswith(sentence)


def test_less_loss_is_better() -> None:
    assert wording.judge(estimate(-0.2, -0.1, -0.05), METRICS["log_loss"]) == "better"
    assert wording.judge(estimate(-0.2, -0.1, -0.05), METRICS["macro_f1"]) == "worse"
    assert wording.judge(estimate(-0.2, 0.1, 0.3), METRICS["ece"]) == ""
    assert wording.judge(estimate(math.nan, math.nan, math.nan), METRICS["ece"]) == ""


def test_a_tiny_probability_is_not_said_to_be_nought() -> None:
    said = wording.chance(McNemar(3, 90, 1e-20, "exact binomial"), ["A", "B"])
    assert "less than 0.0001" in said
    assert "3 are right only in A and 90 only in B" in said
