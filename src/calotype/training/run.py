"""The loop: epochs of training and validation, the best of which is kept."""

from __future__ import annotations

import itertools
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import torch
from torch import nn

from calotype.training import optimization
from calotype.training.augmentation import Augmentation
from calotype.training.average import Average
from calotype.training.batches import Batch, Drawing, LabeledImages
from calotype.training.checkpoints import Checkpoints, Position, State, kept_state
from calotype.training.gradients import BatchResult, Gradients
from calotype.training.group import ALONE, Group
from calotype.training.interrupts import Interrupts
from calotype.training.memory import keep_pages, memory_errors
from calotype.training.objective import Objective
from calotype.training.outcome import EpochMetrics, Listeners, Outcome, Stopped
from calotype.training.parameters import TrainingParameters
from calotype.training.plan import Plan
from calotype.training.rate_finder import RateFinder
from calotype.training.validation import check_any, validate

_CHECKPOINT_EVERY_S = 300.0  # and after each epoch; no more work than that is ever lost


class Run:
    """One training run.

    Args:
        network: what is trained, in place.
        heads: the names of its last layers.
        plan: the settled choices.
        augmentation: makes the pictures to train on.
        parameters: epochs, batch size, learning rate, seed, patience and time.
        group: the processes that train together.
        checkpoints: where the state is kept (None: nowhere).
        listeners: who is told what.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        heads: tuple[str, ...],
        plan: Plan,
        augmentation: Augmentation,
        parameters: TrainingParameters,
        group: Group = ALONE,
        checkpoints: Checkpoints | None = None,
        listeners: Listeners,
    ) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self._device).to(memory_format=torch.channels_last)
        self._heads = heads
        self._plan = plan
        self._augmentation = augmentation
        self._parameters = parameters
        self._group = group
        self._checkpoints = checkpoints
        self._listeners = listeners
        self._progress = listeners.progress
        self._average = Average(network, plan.average_decay) if plan.average_decay else None
        self._optimizer = optimization.optimizer_for(network, 1.0, plan)
        self._drawing = Drawing(
            size=parameters.batch_size,
            seed=parameters.random_seed,
            balance=plan.balance,
            part=group.part,
        )
        self._position = Position()
        self._best: State = {}
        self._stopped: Stopped | None = None
        self._saved_s = time.monotonic()
        self._validation_s = 0.0

    def fit(self, learn: LabeledImages, check: LabeledImages, pool: ThreadPoolExecutor) -> Outcome:
        """Train until the last epoch, the end of patience or of the time, or Ctrl-C.

        Args:
            learn: the images to learn from.
            check: the images to choose the best epoch by.
            pool: the threads that decode.

        Raises:
            TrainingDataUnusable: no image can be read, or the loss is not finite (0083).
            OutOfMemory: a batch does not fit (0138).
            OperationFailed: another process of the group has ended (0039).
            CorruptModel: the checkpoint to go on from is damaged (0082).
        """
        keep_pages()
        objective = Objective(self._plan, learn.counts, self._device)
        self._gradients = Gradients(objective, self._plan, self._group, self._device)
        self._batches = learn.batch_count(self._parameters.batch_size)
        with memory_errors(), Interrupts(self._progress) as self._interrupts:
            self._take_up(learn, pool)
            done = (self._position.epoch - 1) * self._batches + self._position.batch
            left = self._batches * self._parameters.epochs - done
            self._progress.begin("training", total=left, unit="batches")
            try:
                self._epochs(learn, check, pool)
            finally:
                self._progress.end()
        epochs = self._metrics()
        self._network.load_state_dict(self._best)
        kept = epochs[self._position.best_epoch - 1]
        return Outcome(epochs, kept, self._stopped or "epochs", self._position.learning_rate)

    def _metrics(self) -> list[EpochMetrics]:
        return [EpochMetrics(**row) for row in self._position.rows]

    def _take_up(self, learn: LabeledImages, pool: ThreadPoolExecutor) -> None:
        """Begin a run, or go on where an earlier process has left it."""
        checkpoints, earlier = self._checkpoints, None
        if checkpoints is not None:
            earlier = checkpoints.load_last(self._network, self._optimizer, self._averaged())
        if checkpoints is None or earlier is None:
            begun_s = time.monotonic()
            rate = self._learning_rate(learn, pool)
            self._position = Position(learning_rate=rate, elapsed_s=time.monotonic() - begun_s)
            return
        self._position = earlier
        if earlier.best_epoch:
            self._best = checkpoints.load_best(earlier.best_epoch)
        self._stopped = self._patience_ended()
        self._progress.say(f"going on in epoch {earlier.epoch}, after {earlier.batch} batches")

    def _averaged(self) -> nn.Module | None:
        return self._average.network if self._average is not None else None

    def _learning_rate(self, learn: LabeledImages, pool: ThreadPoolExecutor) -> float:
        given = self._parameters.learning_rate
        if given != "auto":
            return given

        def gradients(network: nn.Module, batch: Batch) -> BatchResult:
            return self._gradients.of(network, batch, seed=self._seed(0, batch))

        finder = RateFinder(self._network, self._plan, gradients)
        rate = finder.find(
            lambda: learn.training_batches(
                pool, self._augmentation, self._drawing, epoch=0, varied_as=0
            )
        )
        self._progress.say(f"learning rate {rate:.2g}, found on {finder.steps} batches")
        return rate

    def _epochs(self, learn: LabeledImages, check: LabeledImages, pool: ThreadPoolExecutor) -> None:
        epochs = self._parameters.epochs
        while self._position.epoch <= epochs and self._stopped is None:
            epoch = self._position.epoch
            if self._best and self._is_to_stop(len(check)):
                return
            optimization.unfreeze(
                self._network, self._plan, self._heads, epoch=epoch, epochs=epochs
            )
            self._learn(learn, len(check), pool)
            if self._is_interrupted and self._best:
                return  # the epochs before are whole; this one can be finished later
            self._end_epoch(check, pool)

    def _learn(self, learn: LabeledImages, check_images: int, pool: ThreadPoolExecutor) -> None:
        """Run one epoch, or what is left of it."""
        self._network.train()
        network = self._group.wrap(self._network)
        epoch, pending = self._position.epoch, 0
        varied_as = 1 if self._plan.draws_once else epoch
        begun_s = time.monotonic() - self._position.epoch_s
        for batch in learn.training_batches(
            pool,
            self._augmentation,
            self._drawing,
            epoch=epoch,
            varied_as=varied_as,
            start=self._position.batch,
        ):
            pending += 1
            is_last = batch.index + 1 >= self._batches
            completes = is_last or pending == self._parameters.accumulate
            result = self._gradients.of(
                network, batch, seed=self._seed(epoch, batch), exchange=completes
            )
            self._count(batch, result, epoch_s=time.monotonic() - begun_s)
            if completes:
                self._step(pending)
                pending = 0
                if self._is_to_stop(check_images):
                    break
                if time.monotonic() - self._saved_s > _CHECKPOINT_EVERY_S:
                    self._save()
        if pending:  # the last batches could not be read
            self._step(pending)
        check_any(self._position.images, "training")
        if self._is_interrupted:
            self._save()

    @property
    def _is_interrupted(self) -> bool:
        return self._stopped == "interrupt"

    def _seed(self, epoch: int, batch: Batch) -> tuple[int, ...]:
        return self._parameters.random_seed, epoch, batch.index, self._group.rank

    def _count(self, batch: Batch, result: BatchResult, *, epoch_s: float) -> None:
        position = self._position
        self._position = position = replace(
            position,
            batch=batch.index + 1,
            loss_sum=position.loss_sum + result.loss_sum,
            wrong=position.wrong + result.wrong,
            images=position.images + result.images,
            epoch_s=epoch_s,
        )
        note = ""
        if batch.index % self._parameters.print_frequency == 0 and position.images:
            loss, right = position.loss_sum / position.images, 1 - position.wrong / position.images
            rate = position.images / max(epoch_s, 1e-9)
            note = f"loss {loss:.3f}, accuracy {right:.1%}, {rate:,.0f} images/s"
        self._progress.advance(note=note)

    def _step(self, batches: int) -> None:
        """Change the weights by the mean gradients of some batches."""
        if batches > 1:
            for parameter in self._network.parameters():
                if parameter.grad is not None:
                    parameter.grad.div_(batches)
        optimization.set_rate(self._optimizer, self._rate(batches))
        optimization.step(self._optimizer, self._network, self._plan)
        self._position = replace(self._position, step=self._position.step + 1)
        if self._average is not None:
            self._average.update(self._network, self._position.step)

    def _rate(self, batches: int) -> float:
        """Return the learning rate of the step that the last few batches make.

        How far the run has come is seen by batches (the middle of these) or by time, whichever will
        end it first.
        """
        position, minutes = self._position, self._parameters.max_minutes
        done = (position.epoch - 1) * self._batches + position.batch - batches / 2
        progress = done / (self._batches * self._parameters.epochs)
        if minutes is not None:
            # The clock of process 0 counts: with rates of their own, weights would drift apart.
            (run_s,) = self._group.sum([position.run_s if self._group.rank == 0 else 0.0])
            progress = max(progress, run_s / (60 * minutes))
        return position.learning_rate * optimization.rate_share(self._plan, progress)

    def _is_to_stop(self, check_images: int) -> bool:
        wish = 2 if self._interrupts.came else int(self._is_late(check_images))
        # Process 0 has the terminal, and the clock that counts.
        (wish,) = self._group.sum([wish if self._group.rank == 0 else 0])
        if wish:
            self._stopped = "interrupt" if wish > 1 else "time"
        return bool(wish)

    def _is_late(self, check_images: int) -> bool:
        """Whether the validation has to begin now to end within the time."""
        position, minutes = self._position, self._parameters.max_minutes
        if minutes is None:
            return False
        reserve_s = self._validation_s
        if not position.images:  # an epoch of a few batches is not worth its validation
            reserve_s *= 2
        elif not reserve_s:
            # Nothing goes back through the network when it is validated: three times as fast.
            reserve_s = check_images * position.epoch_s / (3 * position.images)
        return position.run_s + reserve_s >= 60 * minutes

    def _end_epoch(self, check: LabeledImages, pool: ThreadPoolExecutor) -> None:
        """Measure what was learnt, keep it if it is the best, and save the state."""
        begun_s, position = time.monotonic(), self._position
        network = self._averaged() or self._network
        self._group.agree_on(network)
        found = validate(
            network,
            check,
            pool,
            batch_size=self._parameters.batch_size,
            device=self._device,
            group=self._group,
        )
        self._validation_s = time.monotonic() - begun_s
        metrics = EpochMetrics(
            epoch=position.epoch,
            learning_rate=self._rate(1),
            train_loss=position.loss_sum / position.images,
            train_error=position.wrong / position.images,
            validation_loss=found.loss,
            top_1_accuracy=found.top_1_accuracy,
            top_5_accuracy=found.top_5_accuracy,
            train_images_per_s=round(position.images / max(position.epoch_s, 1e-9), 2),
            elapsed_s=round(position.epoch_s + self._validation_s, 3),
        )
        self._position = position.after(asdict(metrics))
        self._keep(metrics, network)
        self._stopped = self._stopped or self._patience_ended()
        if self._stopped != "interrupt":  # or the epoch could not be finished later
            self._save()
        self._tell(metrics)

    def _keep(self, metrics: EpochMetrics, network: nn.Module) -> None:
        best = self._position.best_epoch
        lowest = self._position.rows[best - 1]["validation_loss"] if best else math.inf
        if metrics.validation_loss < lowest or self._plan.keeps_last:
            self._best = kept_state(network)
            self._position = replace(self._position, best_epoch=metrics.epoch)
            if self._checkpoints is not None and self._group.rank == 0:
                self._checkpoints.save_best(metrics.epoch, network)

    def _patience_ended(self) -> Stopped | None:
        losses = [row["validation_loss"] for row in self._position.rows]
        worse = len(losses) - self._position.best_epoch
        if self._plan.keeps_last:  # counts what is no better than the epoch before it
            pairs = reversed(list(itertools.pairwise(losses)))
            worse = len(list(itertools.takewhile(lambda pair: pair[1] >= pair[0], pairs)))
        return "patience" if worse >= self._parameters.patience else None

    def _save(self) -> None:
        self._saved_s = time.monotonic()
        if self._checkpoints is not None and self._group.rank == 0:
            self._checkpoints.save_last(
                self._position, self._network, self._optimizer, self._averaged()
            )

    def _tell(self, metrics: EpochMetrics) -> None:
        self._progress.say(
            f"epoch {metrics.epoch}: loss {metrics.train_loss:.3f}, validation loss "
            f"{metrics.validation_loss:.3f}, accuracy {metrics.top_1_accuracy:.2%}, "
            f"{metrics.train_images_per_s:.0f} images/s"
        )
        if self._stopped == "patience":
            self._progress.say(f"stopped early: epoch {self._position.best_epoch} stays the best")
        self._listeners.on_epochs(self._metrics())
