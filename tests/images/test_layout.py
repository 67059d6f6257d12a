"""Which folders name categories."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calotype import errors
from calotype.images.layout import Layout, decide


@pytest.mark.parametrize(
    ("images", "folders", "expected"),
    [
        pytest.param({"cats": 2, "dogs": 1}, [], Layout("", ["cats", "dogs"]), id="classes"),
        pytest.param({"": 3}, [], Layout("", None), id="flat"),
        pytest.param({"": 3, "a/b": 1}, [], Layout("", None), id="flat above a class"),
        pytest.param({"": 3}, ["notes"], Layout("", None), id="flat beside a folder"),
        pytest.param({"a/x": 1, "b/y": 1}, ["a", "b"], Layout("", None), id="nested flat"),
        pytest.param({"p/cats": 1, "p/dogs": 1}, [], Layout("p", ["cats", "dogs"]), id="shell"),
        pytest.param({"p/q/cats": 1, "p/q/dogs": 1}, [], Layout("p/q", ["cats", "dogs"]), id="two"),
        pytest.param({"cats": 4}, [], Layout("", ["cats"]), id="one class"),
        pytest.param({"p/cats": 4}, [], Layout("p", ["cats"]), id="one class in a shell"),
        pytest.param({"cats": 4, "cats/odd": 2}, [], Layout("", ["cats"]), id="mostly a class"),
        pytest.param(
            {"p": 1, "p/cats": 4, "p/dogs": 3}, [], Layout("p", ["cats", "dogs"]), id="stray image"
        ),
        pytest.param({"cats": 1}, ["birds"], Layout("", ["birds", "cats"]), id="an empty class"),
        pytest.param(
            {"p/cats": 1}, ["p/birds", "p"], Layout("p", ["birds", "cats"]), id="empty in a shell"
        ),
        pytest.param({"": 2, "cats": 1}, [], Layout("", ["cats"]), id="images at the root too"),
        pytest.param({"cats": 1, "dogs/old": 9}, [], Layout("", ["cats", "dogs"]), id="deep dogs"),
    ],
)
def test_where_categories_come_from(
    images: dict[str, int], folders: list[str], expected: Layout
) -> None:
    assert decide(images, folders, labels="auto") == expected


def test_labels_none_takes_everything_flat() -> None:
    assert decide({"cats": 1, "dogs": 1}, [], labels="none") == Layout("", None)


def test_labels_folders_demands_class_folders() -> None:
    with pytest.raises(errors.NotLabeled, match="one for each category"):
        decide({"": 3}, [], labels="folders")


def test_categories_are_the_folders_right_below_the_root() -> None:
    layout = Layout("photos", ["cats", "dogs"])
    paths = ["photos/cats/1.jpg", "photos/dogs/a/1.jpg", "photos/1.jpg", "other/cats/1.jpg", "1"]
    assert layout.categories_of(paths) == ["cats", None, None, None, None]


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)


@given(st.dictionaries(NAMES, st.integers(1, 5), min_size=2), st.lists(NAMES, max_size=3))
def test_any_names_become_categories_unchanged(counts: dict[str, int], shells: list[str]) -> None:
    root = "/".join(shells)
    prefix = f"{root}/" if root else ""
    layout = decide({prefix + name: count for name, count in counts.items()}, [], labels="auto")
    assert layout == Layout(root, sorted(counts))
    assert layout.categories_of([f"{prefix}{name}/1.jpg" for name in counts]) == list(counts)
