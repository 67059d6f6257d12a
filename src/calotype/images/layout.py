"""Whether folders name categories, and where those folders are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from calotype import errors

Labels = Literal["auto", "folders", "none"]


@dataclass(frozen=True, slots=True)
class Layout:
    """What the folders of a source mean."""

    root: str
    """The folder that the class folders lie in, relative to the source; empty for the source."""
    categories: list[str] | None
    """The names of the class folders, sorted; None when the images are not labelled."""

    def categories_of(self, paths: Iterable[str]) -> list[str | None]:
        """Return the category of each path; None where the image lies at the wrong depth."""
        by_folder = {_join(self.root, name): name for name in self.categories or ()}
        return [by_folder.get(path.rpartition("/")[0]) for path in paths]


def decide(images: Mapping[str, int], folders: Collection[str], *, labels: Labels) -> Layout:
    """Decide the layout of a source.

    The root is found by descending from the source while a folder holds one folder and no image;
    a single folder of images is not descended into, it is one category. When some image lies
    exactly one level below the root, the folders there are the categories, the empty ones too.
    Otherwise, and with `labels="none"`, the images are flat and have no label.

    Args:
        images: how many images lie directly in each folder; the source itself is ``""``.
        folders: every folder that was seen, hidden ones excepted.
        labels: "auto" as above, "folders" demands categories, "none" wants none.

    Raises:
        NotLabeled: there are no class folders, and `labels` is "folders".

    >>> decide({"photos/cats": 2, "photos/dogs": 1}, ["photos/birds"], labels="auto")
    Layout(root='photos', categories=['birds', 'cats', 'dogs'])
    >>> decide({"": 7, "a/b": 1}, [], labels="auto")
    Layout(root='', categories=None)
    """
    if labels == "none":
        return Layout("", None)
    children = _children({*folders, *images})
    root = _root(images, children)
    if any(images.get(_join(root, name)) for name in children[root]):
        return Layout(root, sorted(children[root]))
    if labels == "folders":
        raise errors.NotLabeled(
            "expected folders with images, one for each category",
            got="images at other depths only",
            action="Put the images of each category into a folder, or leave out "
            "'--labels folders' to take them without labels.",
        )
    return Layout("", None)


def _children(folders: Collection[str]) -> defaultdict[str, set[str]]:
    """Return the names of the sub-folders of each folder."""
    children: defaultdict[str, set[str]] = defaultdict(set)
    for folder in folders:
        for parent, name in _steps(folder):
            if name in children[parent]:
                break
            children[parent].add(name)
    return children


def _steps(folder: str) -> Iterator[tuple[str, str]]:
    """Yield (parent, name) of a folder and of its ancestors, the deepest first."""
    while folder:
        parent, _, name = folder.rpartition("/")
        yield parent, name
        folder = parent


def _root(images: Mapping[str, int], children: Mapping[str, set[str]]) -> str:
    root = ""
    while not images.get(root) and len(children.get(root, ())) == 1:
        (only,) = children[root]
        inner = _join(root, only)
        below = sum(images.get(_join(inner, name), 0) for name in children.get(inner, ()))
        # The only folder with more images in it than one level deeper is a category, not a shell.
        if images.get(inner, 0) > below:
            break
        root = inner
    return root


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
