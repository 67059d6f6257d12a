"""`dataset show --preview`: what is in a dataset, on one page with small pictures."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from calotype import errors, files
from calotype.evaluation.thumbnails import data_uri
from calotype.images.image_directory import ImageDirectory, ImageEntry
from calotype.pages import page
from calotype.pages.wording import size
from calotype.progress import Progress
from calotype.workspace import listing

if TYPE_CHECKING:
    from calotype.workspace.dataset import RegisteredDataset

_MAX_CATEGORIES: Final = 60  # with pictures: a page that every browser opens
_MAX_ROWS: Final = 2000
_MAX_FILES: Final = 30


@dataclass(frozen=True, slots=True)
class Picture:
    """A small picture; `uri` is None when the image cannot be decoded."""

    name: str
    text: str
    uri: str | None


@dataclass(slots=True)
class Gallery:
    """Some images of one category."""

    name: str
    images: int
    pictures: list[Picture] = field(default_factory=list[Picture])


@dataclass(frozen=True, slots=True)
class FileType:
    """The files whose names end alike."""

    suffix: str
    files: int
    bytes: int


def write_preview(
    dataset: RegisteredDataset, out: Path, *, thumbnails: int, progress: Progress
) -> Path:
    """Write the page; see `RegisteredDataset.preview`."""
    path = dataset.path_or_unpacked(progress=progress)
    galleries: list[Gallery] = []
    skipped: dict[str, int] = {}
    sizes = ""
    try:
        with ImageDirectory.open(path, progress=progress) as directory:
            galleries = _galleries(directory, thumbnails, progress)
            skipped = directory.info.counts.skipped
            sizes = _sizes(directory)
    except (errors.InvalidDataset, errors.InvalidArchive):
        pass  # files that are no images are a dataset too
    types, names = ([], []) if galleries else _files(path)
    content = page.render(
        "calotype.workspace",
        "dataset.html.j2",
        style="dataset.css.j2",
        filters={},
        title=f"Dataset {dataset.id}",
        dataset=dataset,
        images=sum(gallery.images for gallery in galleries),
        galleries=galleries,
        pictured=_MAX_CATEGORIES,
        rows=_MAX_ROWS,
        sizes=sizes,
        skipped=skipped,
        types=types,
        names=names,
        facts=_facts(dataset),
    )
    files.write_text(out, content)
    return out


def _galleries(directory: ImageDirectory, thumbnails: int, progress: Progress) -> list[Gallery]:
    counts = directory.info.counts
    if not directory.is_labeled:
        galleries = {"": Gallery("", counts.images)}
    else:
        galleries = {name: Gallery(name, images) for name, images in counts.categories.items()}
        if unlabeled := counts.images - sum(counts.categories.values()):
            galleries[""] = Gallery("", unlabeled)
    shown = list(galleries)[:_MAX_CATEGORIES]
    progress.begin("making small pictures", total=None, unit="images")
    try:
        with directory.reader() as reader:
            for entry in _chosen(directory, shown, galleries, thumbnails):
                try:
                    uri = data_uri(reader.read(entry))
                except errors.FileError:
                    uri = None
                text = f"{entry.width} x {entry.height}, {size(entry.bytes)}"
                picture = Picture(entry.path, text, uri)
                galleries[_key(entry, directory)].pictures.append(picture)
                progress.advance()
    finally:
        progress.end()
    return list(galleries.values())


def _chosen(
    directory: ImageDirectory, shown: list[str], galleries: dict[str, Gallery], thumbnails: int
) -> Iterator[ImageEntry]:
    """Yield images spread evenly over each category, the same at every call."""
    steps = {name: max(galleries[name].images / max(thumbnails, 1), 1) for name in shown}
    seen: collections.Counter[str] = collections.Counter()
    for entry in directory.entries() if thumbnails > 0 else ():
        name = _key(entry, directory)
        if name in steps:
            before, seen[name] = seen[name], seen[name] + 1
            if before == 0 or int(before / steps[name]) > int((before - 1) / steps[name]):
                yield entry


def _key(entry: ImageEntry, directory: ImageDirectory) -> str:
    return (entry.category or "") if directory.is_labeled else ""


def _sizes(directory: ImageDirectory) -> str:
    smallest: tuple[int, int] | None = None
    largest: tuple[int, int] | None = None
    for rows in directory.tables(columns=["width", "height"]):
        both = zip(rows["width"].to_pylist(), rows["height"].to_pylist(), strict=True)
        for width, height in both:
            if smallest is None or width * height < smallest[0] * smallest[1]:
                smallest = (width, height)
            if largest is None or width * height > largest[0] * largest[1]:
                largest = (width, height)
    if smallest is None or largest is None:
        return ""
    low, high = f"{smallest[0]} x {smallest[1]}", f"{largest[0]} x {largest[1]}"
    return low if low == high else f"{low} to {high}"


def _files(path: Path) -> tuple[list[FileType], list[listing.ListedFile]]:
    counted: collections.Counter[str] = collections.Counter()
    total: collections.Counter[str] = collections.Counter()
    first: list[listing.ListedFile] = []
    for file in listing.of_folder(path) if path.is_dir() else listing.of_file(path):
        suffix = Path(file.path).suffix.lower() or "none"
        counted[suffix] += 1
        total[suffix] += file.bytes
        if len(first) < _MAX_FILES:
            name = file.path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            first.append(file._replace(path=name))
    return [FileType(name, n, total[name]) for name, n in counted.most_common()], first


def _facts(dataset: RegisteredDataset) -> list[tuple[str, str]]:
    rows = [
        ("registered from", dataset.origin),
        ("files are", "where they were" if dataset.artifact is None else "in the workspace"),
        ("registered", f"{dataset.created_at:%Y-%m-%d %H:%M} UTC by {dataset.created_by}"),
        *((f"tag {key}", value) for key, value in dataset.tags.items()),
    ]
    return [("description", dataset.description), *rows] if dataset.description else rows
