"""All that a replica has to know; goes to it through a pipe, as it has secrets."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from calotype.serving.front import FrontSettings


@dataclass(frozen=True, slots=True)
class ReplicaPlan:
    """One process that answers for one revision of a service.

    Attributes:
        service, version, revision: what it is of.
        replica: its own name: letters, digits and dashes, at most 40.
        lock, control, wire: files of `layout.py`.
        log: file that standard output and error go to.
        kind: of its models, or "script".
        model: image model folder or ONNX file, when there is no script.
        script, source_directory, model_directory: of an entry script.
        python: interpreter of the environment; empty for our own.
        variables: environment variables.
        front: limits, credentials, TLS; `front.service.path_prefix` is
            `/api/v1/service/NAME`, and `front.service.port` the port of its own, or 0 for none.
        precision: of an image model.
        cpu_cores: how many cores it may use; 0 for all.
        history: folder for its requests and failures by minute; empty for none.
        keeper_lock: a replica that finds it free for a minute ends itself.
        listener: descriptor of the socket that it accepts from when it is told to; -1 for none.
        shape: what a replica cannot change while it runs, beside its revision, as a digest.
    """

    service: str
    version: str
    revision: int
    replica: str
    lock: str
    control: str
    wire: str
    log: str
    kind: str
    front: FrontSettings
    model: str = ""
    script: str = ""
    source_directory: str = ""
    model_directory: str = ""
    python: str = ""
    variables: dict[str, str] | None = None
    precision: str = "auto"
    cpu_cores: int = 0
    history: str = ""
    keeper_lock: str = ""
    listener: int = -1
    shape: str = ""

    def to_document(self) -> dict[str, Any]:
        """Return this as JSON has it."""
        return {**asdict(self), "front": self.front.to_document()}

    @classmethod
    def of_document(cls, document: dict[str, Any]) -> ReplicaPlan:
        """Return what `to_document` was made of."""
        rest = {name: value for name, value in document.items() if name != "front"}
        return cls(front=FrontSettings.of_document(document["front"]), **rest)
