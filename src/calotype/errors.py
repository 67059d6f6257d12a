"""Every error that Calotype raises, with its stable number.

The numbers up to 0999 are those of the retired designer's catalogue, so that what people know
(and wrote into their runbooks) stays true; 1000 is an unexpected error, 2000 and above are ours.

    CalotypeError
    ├── CallerError             the input is wrong: change it and try again       (HTTP 4xx)
    │   ├── ParameterError      a value that was passed
    │   │   ├── UnparsableValue 0002        ├── NotLess          0006
    │   │   ├── EmptyInput      0003        ├── NotLessOrEqual   0007
    │   │   ├── NotGreater      0004        └── NotInRange       0008
    │   │   └── NotGreaterOrEqual 0005
    │   ├── DatasetError        images, labels, scored tables
    │   │   ├── ColumnMissing   0001        ├── LabelsNotComparable 0058
    │   │   ├── InvalidDataset  0018        ├── TasksDiffer      0062
    │   │   ├── TooFewRows      0021        ├── TrainingDataUnusable 0083
    │   │   ├── NotLabeled      0024        ├── SchemaMismatch   0125
    │   │   ├── NotScored       0025        └── NoLabeledRows    0134
    │   ├── FileError           one file
    │   │   ├── UnreadableFile  0048        ├── AlreadyExists    0057
    │   │   ├── UnparsableFile  0049        ├── InvalidArchive   0102
    │   │   └── ImageTooLarge   0127
    │   ├── ModelError          models, weights and transformations
    │   │   ├── CorruptModel    0082        ├── InvalidModel     0159
    │   │   ├── InvalidTransformation 0158  └── WeightsNotFound  0162
    │   └── WorkspaceError      what a workspace knows
    │       ├── NotFound        2004        ├── InUse            2005
    │       ├── NotSupported    2006        └── CorruptWorkspace 2007
    ├── MachineError            the machine is in the way                         (HTTP 5xx)
    │   ├── CannotWrite         0046        ├── MissingDependency 2001
    │   ├── OutOfMemory         0138        ├── Busy             2002
    │   └── CannotListen        2003
    └── OperationFailed         0039, 1000 when nobody foresaw it                 (HTTP 500)
        └── ScriptFailed        0085, the code of a user's entry script

A message has four parts: where, what was expected, what came instead, what to do next.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import ClassVar


class CalotypeError(Exception):
    """The root of all errors of Calotype.

    Args:
        expected: what should have been there, as a clause without a full stop.
        where: the file, row, parameter or module at fault; empty when there is only one.
        got: what was there instead; left out of the message when empty.
        action: the next step for whoever reads this, as a full sentence.
    """

    number: ClassVar[int] = 1000
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, expected: str, *, where: str = "", got: str = "", action: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.where = where
        self.got = got
        self.action = action

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        got = f" Got {self.got.rstrip('.')}." if self.got else ""
        action = f" {self.action}" if self.action else ""
        return f"{place}{self.expected.rstrip('.')}.{got}{action}"

    @property
    def line(self) -> str:
        """The one line that the command line prints and the log keeps."""
        return f"error {self.number:04d}: {self}"


class CallerError(CalotypeError):
    """The input is wrong; the same call will fail again until the caller changes it."""

    http_status = 400


class ParameterError(CallerError):
    """A parameter has a value that its module does not take."""


class UnparsableValue(ParameterError):
    """The value cannot be read as the type that the parameter needs."""

    number = 2


class EmptyInput(ParameterError):
    """An input or a parameter is missing or empty."""

    number = 3


class NotGreater(ParameterError):
    """The value must be greater than its bound."""

    number = 4


class NotGreaterOrEqual(ParameterError):
    """The value must be greater than or equal to its bound."""

    number = 5


class NotLess(ParameterError):
    """The value must be less than its bound."""

    number = 6


class NotLessOrEqual(ParameterError):
    """The value must be less than or equal to its bound."""

    number = 7


class NotInRange(ParameterError):
    """The value must lie in a closed range."""

    number = 8


class DatasetError(CallerError):
    """A set of images, or a table made of it, cannot be used for what was asked."""

    http_status = 422


class ColumnMissing(DatasetError):
    """A column that was named does not exist."""

    number = 1


class InvalidDataset(DatasetError):
    """The input is not a usable set of images."""

    number = 18


class TooFewRows(DatasetError):
    """There are fewer images than the operation needs."""

    number = 21


class NotLabeled(DatasetError):
    """The set has no labels, and the operation needs them."""

    number = 24


class NotScored(DatasetError):
    """The table has no score columns."""

    number = 25


class LabelsNotComparable(DatasetError):
    """True and scored labels cannot be compared."""

    number = 58


class TasksDiffer(DatasetError):
    """Two results to compare are not of the same task or the same classes."""

    number = 62


class TrainingDataUnusable(DatasetError):
    """This network cannot be trained on this set."""

    number = 83


class SchemaMismatch(DatasetError):
    """The set does not match the data that the model was trained on."""

    number = 125


class NoLabeledRows(DatasetError):
    """The label column is there, and no row has a label."""

    number = 134


class FileError(CallerError):
    """One file is at fault."""

    http_status = 422


class UnreadableFile(FileError):
    """The file cannot be opened, or is not the image that its name promises."""

    number = 48


class UnparsableFile(FileError):
    """The file opens, and its content does not follow its format."""

    number = 49


class AlreadyExists(FileError):
    """The place to write to is taken."""

    number = 57
    http_status = 409


class InvalidArchive(FileError):
    """The archive cannot be unpacked."""

    number = 102


class ImageTooLarge(FileError):
    """The image has more pixels or bytes than the limit."""

    number = 127
    http_status = 413


class ModelError(CallerError):
    """A model, its weights or a transformation cannot be used."""

    http_status = 422


class CorruptModel(ModelError):
    """The model's files are damaged or of a format that this version does not know."""

    number = 82


class InvalidTransformation(ModelError):
    """The folder does not hold an image transformation."""

    number = 158


class InvalidModel(ModelError):
    """The folder or file does not hold a trained image model."""

    number = 159


class WeightsNotFound(ModelError):
    """Weights, or what was measured beside them, were asked for and are not there."""

    number = 162


class WorkspaceError(CallerError):
    """Something of a workspace, or the workspace itself, is not as the call needs it."""


class NotFound(WorkspaceError):
    """There is nothing of that name."""

    number = 2004
    http_status = 404


class InUse(WorkspaceError):
    """It cannot be deleted while something else needs it."""

    number = 2005
    http_status = 412


class NotSupported(WorkspaceError):
    """What was asked for has no meaning on one's own machine, or for this kind of service."""

    number = 2006


class CorruptWorkspace(WorkspaceError):
    """The workspace's database or files are damaged, or of a version that this one cannot read."""

    number = 2007
    http_status = 500


class MachineError(CalotypeError):
    """The machine is in the way; the same call may succeed once that is mended."""

    http_status = 503


class CannotWrite(MachineError):
    """A file or folder cannot be written: no right, no room, or read-only."""

    number = 46


class OutOfMemory(MachineError):
    """The machine has not enough memory for the operation."""

    number = 138


class MissingDependency(MachineError):
    """An optional package is needed that is not installed."""

    number = 2001


class Busy(MachineError):
    """Another process is writing to the same place."""

    number = 2002
    http_status = 409


class CannotListen(MachineError):
    """The address to serve on is taken, or not this machine's."""

    number = 2003


class OperationFailed(CalotypeError):
    """A step failed for a reason that the message names."""

    number = 39


class ScriptFailed(OperationFailed):
    """The entry script of a service cannot be loaded or started.

    Args:
        expected: what should have been there, as a clause without a full stop.
        where: the script.
        got: what came instead.
        action: the next step for whoever reads this.
        trace: the whole trace of the script's exception, for the log; empty when there was none.
    """

    number = 85

    def __init__(
        self, expected: str, *, where: str = "", got: str = "", action: str = "", trace: str = ""
    ) -> None:
        super().__init__(expected, where=where, got=got, action=action)
        self.trace = trace


class UnexpectedError(OperationFailed):
    """A defect of ours: the log has the trace."""

    number = 1000


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'X'?` for the known name nearest to `name`, or nothing.

    >>> suggest("resnet81", ["resnet18", "densenet121"])
    "Did you mean 'resnet18'?"
    """
    import difflib  # which takes longer than all the rest, and nearly nobody needs it

    nearest = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean '{nearest[0]}'?" if nearest else ""


def write_error(error: OSError, *, where: str) -> CalotypeError:
    """Return the error of ours that says why `where` could not be written."""
    actions = {
        errno.ENOSPC: "Free some disk space and run the same command again.",
        errno.EDQUOT: "Your disk quota is used up: free some space and run the command again.",
        errno.EACCES: "Choose a folder that you may write to.",
        errno.EROFS: "The file system is read-only: choose another folder.",
        errno.ENOTDIR: "A part of this path is a file: choose another folder.",
        errno.ENAMETOOLONG: "Choose a shorter path.",
    }
    reason = error.strerror or type(error).__name__
    action = actions.get(error.errno or 0, "Check the path and the disk.")
    return CannotWrite("expected a place to write to", where=where, got=reason, action=action)
