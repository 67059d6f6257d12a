"""The processes that train one network together, each on its part of every batch."""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed, nn

from calotype import errors

_TIMEOUT = datetime.timedelta(minutes=10)


class ProcessLost(errors.OperationFailed):
    """Another process of the run has ended."""


@dataclass(frozen=True, slots=True)
class Group:
    """This process among those of a run; alone unless told otherwise.

    Attributes:
        rank: 0 for the process that speaks to the user and writes files.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def part(self) -> tuple[int, int]:
        """Rank and size, as the drawing of images wants them."""
        return self.rank, self.size

    @property
    def is_alone(self) -> bool:
        """Whether there is one process only."""
        return self.size == 1

    def sum(self, values: Sequence[float]) -> list[float]:
        """Return the sums over all processes."""
        if self.is_alone:
            return list(values)
        # NCCL adds up on GPUs only.
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        total = torch.tensor(values, dtype=torch.float64, device=device)
        distributed.all_reduce(total)
        return total.tolist()

    def agree_on(self, network: nn.Module) -> None:
        """Give a network everywhere the state that it has in process 0.

        The weights are the same already; the statistics of batch norms have seen other images.
        """
        for value in () if self.is_alone else network.state_dict().values():
            distributed.broadcast(value, 0)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network with gradients averaged over all processes at each step."""
        if self.is_alone:
            return network
        # Frozen layers have no gradients, and which ones are frozen changes: wrapped each epoch.
        return nn.parallel.DistributedDataParallel(network, find_unused_parameters=False)

    def without_exchange(self, network: nn.Module) -> contextlib.AbstractContextManager[None]:
        """Gather gradients in this process only, while a step is not complete."""
        if isinstance(network, nn.parallel.DistributedDataParallel):
            return network.no_sync()
        return contextlib.nullcontext()


ALONE = Group()


@contextlib.contextmanager
def joined(meeting: Path, *, rank: int, size: int) -> Generator[Group]:
    """Join the processes of a run on this machine.

    Args:
        meeting: a file that all of them can reach, not there at first.
        rank: of this process.
        size: how many there are.

    Raises:
        OperationFailed: another process has ended.
    """
    # The processes are on one machine, and nobody else should be able to join them.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    threads = torch.get_num_threads()
    on_gpus = torch.cuda.is_available() and torch.cuda.device_count() >= size
    if on_gpus:
        torch.cuda.set_device(rank)
    torch.set_num_threads(max(1, threads // size))
    distributed.init_process_group(
        "nccl" if on_gpus else "gloo",
        init_method=meeting.absolute().as_uri(),
        rank=rank,
        world_size=size,
        timeout=_TIMEOUT,
    )
    try:
        with group_errors():
            yield Group(rank, size)
    finally:
        distributed.destroy_process_group()
        torch.set_num_threads(threads)


@contextlib.contextmanager
def group_errors() -> Generator[None]:
    """Turn the ways in which torch reports the end of another process into our error (0039)."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        raise ProcessLost(
            "expected all training processes to go on",
            where="training",
            got="one that has ended",
            action="Go on with --resume, with fewer processes if memory was short.",
        ) from error
