"""Score Image Model: an image model and images in, a scored dataset out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calotype import __version__, errors, files
from calotype.images.image_directory import ImageDirectory
from calotype.progress import SILENCE, Progress
from calotype.scored_dataset import COMPLETE, RUN_FILE
from calotype.scoring.pipeline import Failure
from calotype.scoring.schema_check import SchemaCheck, check_schema
from calotype.scoring.scored_dataset_writer import ScoredDatasetWriter
from calotype.scoring.scorer import (
    OnError,
    ScoredChunk,
    Scorer,
    Source,
    applied_preprocessing,
    gather,
)
from calotype.tables import TableFormat

_ROWS_PER_GROUP = 1024
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """What a scoring run has done.

    Attributes:
        path: the scored dataset.
        run: the content of its `run.json`.
        was_complete: the very same run had already finished, and nothing was done.
    """

    path: Path
    run: dict[str, Any]
    was_complete: bool = False


def score(
    scorer: Scorer,
    images: Source,
    out: Path,
    *,
    schema_check: SchemaCheck = "warn",
    on_error: OnError = "skip",
    format: TableFormat = "parquet",
    resume: bool = False,
    part_s: float = 30.0,
    progress: Progress = SILENCE,
) -> ScoreResult:
    """Score every image of a source into a folder.

    Args:
        scorer: the model, ready to run.
        images: an image directory, a folder, an archive or one image file.
        out: the folder to write; new, empty, or an earlier run of the same to continue.
        schema_check: what to do when the images' categories are not the model's classes.
        on_error: leave images out that cannot be read, with their reason in `errors.parquet`, or
            stop at the first.
        format: of the table.
        resume: continue a run that was interrupted.
        part_s: at most this many seconds of work are lost when the process is killed.
        progress: is told how far the work is.

    Raises:
        AlreadyExists: `out` holds another run, an unfinished one, or something else.
        Busy: another process is scoring into `out`.
        SchemaMismatch: the images do not fit the model, as far as `schema_check` cares.
        InvalidDataset: `images` holds no images.
        FileError: an image cannot be read, and `on_error` is "fail".
    """
    _check_free(out)
    with (
        ImageDirectory.open(images, limits=scorer.limits, progress=progress) as directory,
        files.locked(out / _LOCK, what=str(out)),
    ):
        warnings = check_schema(scorer.model, directory, mode=schema_check)
        for warning in warnings:
            progress.say(f"warning: {warning}")
        run = _describe(scorer, images, directory, warnings)
        writer = ScoredDatasetWriter(
            out,
            scorer.schema_for(directory),
            identity=_identity(scorer, directory, format),
            run=run,
            format=format,
            part_s=part_s,
        )
        refused = refused_files(directory, on_error)
        finished = _take_up(writer, out, _identity(scorer, directory, format), resume=resume)
        if finished is not None:
            return ScoreResult(out, finished, was_complete=True)
        _run(scorer, directory, writer, on_error=on_error, progress=progress)
        return ScoreResult(out, writer.finish(refused=refused))


def refused_files(directory: ImageDirectory, on_error: OnError) -> list[dict[str, Any]]:
    """Return the files of a plain source that have an image's name and are none, or too large.

    An image directory has reported them when it was made; a folder or an archive that is scored
    directly has nobody else to tell. They have no id.
    """
    if directory.path is not None:
        return []
    rows = [
        {
            "id": None,
            "path": file.path,
            "error_number": file.error_number,
            "message": f"{file.path}: {file.reason}.",
        }
        for file in directory.skipped()
        if file.error_number is not None
    ]
    if rows and on_error == "fail":
        error = errors.ImageTooLarge if rows[0]["error_number"] == 127 else errors.UnreadableFile
        raise error("expected a readable image within the limits", where=str(rows[0]["path"]))
    return rows


def _run(
    scorer: Scorer,
    directory: ImageDirectory,
    writer: ScoredDatasetWriter,
    *,
    on_error: OnError,
    progress: Progress,
) -> None:
    schema = scorer.schema_for(directory)
    start = writer.images_done
    progress.begin("scoring", total=len(directory), unit="images")
    progress.advance(start)
    chunks = _counted(scorer.chunks(directory, start=start, on_error=on_error), progress)
    try:
        for group in gather(chunks, rows=_ROWS_PER_GROUP):
            failures = [_row_of(failure) for chunk in group for failure in chunk.failures]
            images = sum(chunk.images for chunk in group)
            writer.write(scorer.to_arrow(group, schema), images=images, failures=failures)
    except KeyboardInterrupt:
        writer.close_part()
        progress.say(
            f"stopped after {writer.images_done:,} of {len(directory):,} images; "
            "the same command with --resume goes on from there"
        )
        raise
    except errors.CalotypeError:
        writer.discard_part()
        raise
    finally:
        progress.end()


def _counted(chunks: Iterator[ScoredChunk], progress: Progress) -> Iterator[ScoredChunk]:
    for chunk in chunks:
        progress.advance(chunk.images)
        yield chunk


def _row_of(failure: Failure) -> dict[str, Any]:
    return {
        "id": failure.entry.id,
        "path": failure.entry.path,
        "error_number": failure.error.number,
        "message": str(failure.error),
    }


def _identity(scorer: Scorer, directory: ImageDirectory, format: TableFormat) -> dict[str, Any]:
    """Return all that the rows depend on, the code aside."""
    applied = applied_preprocessing(scorer.model, directory)
    return {
        "model": scorer.model.digest,
        "images": directory.info.fingerprint,
        "transformation": None if applied is None else applied.model_dump(mode="json"),
        "precision": scorer.runtime.precision,
        "runtime": scorer.runtime.name,
        "exact_decode": scorer.exact_decode,
        "format": format,
        # None, as in runs of versions that knew neither.
        "temperature": scorer.temperature,
        "novelty": scorer.measures_novelty or None,
    }


def _describe(
    scorer: Scorer, images: Source, directory: ImageDirectory, warnings: list[str]
) -> dict[str, Any]:
    source = directory.path if isinstance(images, ImageDirectory) else Path(images)
    return {
        "model": {
            "path": str(scorer.model.path.absolute()),
            "digest": scorer.model.digest,
            "architecture": scorer.model.description.architecture.name,
        },
        "images": {
            "source": str(source.absolute()) if source is not None else "",
            "fingerprint": directory.info.fingerprint,
            "count": len(directory),
        },
        "precision": scorer.runtime.precision,
        "runtime": {
            "name": scorer.runtime.name,
            "version": scorer.runtime.version,
            "device": scorer.runtime.device,
            "threads": scorer.threads,
        },
        "exact_decode": scorer.exact_decode,
        "temperature": scorer.temperature,
        "novelty": scorer.measures_novelty,
        "warnings": warnings,
        "versions": {"calotype": __version__},
    }


def _check_free(out: Path) -> None:
    """Refuse a folder of something else before any work is done."""
    if out.is_file() or (
        out.is_dir()
        and not (out / RUN_FILE).exists()
        and any(path.name != _LOCK for path in out.iterdir())
    ):
        raise errors.AlreadyExists(
            "expected a new folder, an empty one or an earlier scored dataset",
            where=str(out),
            action="Choose another folder.",
        )


def _take_up(
    writer: ScoredDatasetWriter, out: Path, identity: dict[str, Any], *, resume: bool
) -> dict[str, Any] | None:
    """Begin a run or continue one; return `run.json` when the same run has already finished."""
    if not (out / RUN_FILE).exists():
        writer.begin()
        return None
    earlier = files.read_json(out / RUN_FILE)
    differing = [key for key in identity if earlier.get("identity", {}).get(key) != identity[key]]
    if differing:
        raise errors.AlreadyExists(
            "expected a run with the same model, images and settings",
            where=str(out),
            got=f"one with other {', '.join(differing)}",
            action="Choose another folder, or delete this one.",
        )
    if earlier["status"] == COMPLETE:
        return earlier
    if not resume:
        raise errors.AlreadyExists(
            "expected a new folder or a finished run",
            where=str(out),
            got="a run that was interrupted",
            action="Add --resume to go on where it stopped, or delete the folder.",
        )
    writer.resume(earlier)
    return None
