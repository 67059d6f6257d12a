"""Train PyTorch Model: an architecture and two labelled image directories in, an image model out.

Fine-tuning starts from pretrained weights, everything else from random ones. The epoch with the
lowest validation loss is the one that is kept. While the run goes on, its state lies in a folder
beside the model, `<model>.training`; a run that was killed goes on from there.
"""

from __future__ import annotations

from pathlib import Path

from calotype.images.image_directory import ImageDirectory
from calotype.images.transformation import Transformation
from calotype.models import image_model
from calotype.models.export import export
from calotype.models.image_model import ImageModel
from calotype.progress import SILENCE, Progress
from calotype.training.checkpoints import Checkpoints, folder_of
from calotype.training.fit import Fitted, fit_job
from calotype.training.job import Job
from calotype.training.outcome import Listeners
from calotype.training.parameters import Network, TrainingParameters
from calotype.training.processes import started
from calotype.training.records import Records


def train(
    network: Network,
    training: ImageDirectory,
    validation: ImageDirectory,
    out: Path,
    *,
    transformation: Transformation | None = None,
    parameters: TrainingParameters | None = None,
    processes: int = 1,
    resume: bool = False,
    listeners: Listeners | None = None,
) -> ImageModel:
    """Train a network and save it as an image model.

    Args:
        network: what to train.
        training: labelled images.
        validation: labelled images of the same categories, for choosing the epoch to keep.
        out: the folder to write.
        transformation: what is done to the images; otherwise what was applied to `training`, or
            the documented defaults. Its deterministic part becomes part of the model.
        parameters: epochs, batch size, learning rate, seed, patience and the rest.
        processes: how many processes share each batch, each with its part of the cores.
        resume: go on with a run that was interrupted.
        listeners: are told how far the work is, and what each epoch has come to.

    Returns:
        The model. After Ctrl-C it is the best one so far, and `training["stopped"]` of its
        description is "interrupt"; the rest can be done later with `resume`.

    Raises:
        NotLabeled: a directory has no categories (0024).
        InvalidDataset: validation has a category that training has not (0018).
        NotLessOrEqual: the batch is larger than the training set (0007).
        UnparsableValue: the network is unknown, or not one for images of this size (0002).
        WeightsNotFound: weights were given, and are not there (0162).
        TrainingDataUnusable: there is nothing to learn, or the loss is not finite (0083).
        NotInRange: there are not so many cores or GPUs as processes (0008).
        OutOfMemory: a batch does not fit (0138).
        CorruptModel: the checkpoint to go on from is damaged (0082).
        CannotWrite: the disk is full, or `out` may not be written (0046).
        OperationFailed: the network cannot be exported, bf16 is not to be had, or another process
            of the run has ended (0039).
        AlreadyExists: `out` holds something that is not a model, or there is an interrupted run
            of it and `resume` is off (0057).
        Busy: another process trains this model (2002).
    """
    out = out.absolute()
    listeners = listeners or Listeners()
    image_model.check_target(out)
    job = Job.of(
        network,
        training,
        validation,
        transformation=transformation,
        parameters=parameters or TrainingParameters(),
        progress=listeners.progress,
    )
    checkpoints = Checkpoints(folder_of(out))
    records = Records(checkpoints.folder, job, training, validation)
    identity = {**job.identity(training, validation), "processes": processes}
    with checkpoints.opened(identity, resume=resume):
        with started(processes, job, training, validation, checkpoints.folder) as group:
            fitted = fit_job(
                job,
                training,
                validation,
                group=group,
                checkpoints=checkpoints,
                listeners=records.listening(listeners),
            )
        trained = export(
            fitted.network,
            fitted.description,
            out,
            samples=fitted.samples,
            extra=records.final(fitted.outcome),
            progress=listeners.progress,
        )
        if fitted.outcome.stopped != "interrupt":
            checkpoints.remove()
    return trained


def fit(
    network: Network,
    training: ImageDirectory,
    validation: ImageDirectory,
    *,
    transformation: Transformation | None,
    parameters: TrainingParameters,
    progress: Progress = SILENCE,
) -> Fitted:
    """Train a network in this process and save nothing; see `train` for arguments and errors."""
    job = Job.of(
        network,
        training,
        validation,
        transformation=transformation,
        parameters=parameters,
        progress=progress,
    )
    return fit_job(job, training, validation, listeners=Listeners(progress))
