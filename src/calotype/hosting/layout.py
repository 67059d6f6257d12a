"""Where the processes of a workspace keep locks, sockets, logs and unpacked models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from calotype import errors
from calotype.hosting import socket_folder
from calotype.workspace.location import Location


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of one workspace on this machine.

    Attributes:
        run: `.calotype/run`.
        sockets: a folder for them, which is there while somebody listens.
    """

    run: Path
    sockets: Path

    @classmethod
    def of(cls, location: Location) -> Layout:
        """Return the places of a workspace; who listens at a socket makes the folder for it.

        Raises:
            CannotWrite: the folder of what runs cannot be made.
        """
        try:
            location.run_folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise errors.write_error(error, where=str(location.run_folder)) from error
        return cls(location.run_folder, socket_folder.place_of(location.root))

    @property
    def keeper_lock(self) -> Path:
        """Held by the keeper while it lives; a standby waits for it."""
        return self.run / "keeper.lock"

    @property
    def standby_lock(self) -> Path:
        """Held by the process that waits to take the keeper's place."""
        return self.run / "standby.lock"

    @property
    def keeper_socket(self) -> Path:
        """Where the keeper takes commands."""
        return self.sockets / "keeper"

    @property
    def keeper_log(self) -> Path:
        """What the keeper says."""
        return self.run / "keeper.log"

    @property
    def routes(self) -> Path:
        """What the front door passes on, and where to; written by the keeper."""
        return self.run / "routes.json"

    @property
    def front_door_lock(self) -> Path:
        """Held by the front door while it lives."""
        return self.run / "front-door.lock"

    @property
    def front_door_socket(self) -> Path:
        """Where the front door takes commands of the keeper."""
        return self.sockets / "front-door"

    @property
    def front_door_log(self) -> Path:
        """What the front door says, with a line for each request that it refuses itself."""
        return self.run / "front-door.log"

    def service(self, name: str) -> Path:
        """Return the folder of a service; removed with it.

        Raises:
            UnparsableValue: the name leads elsewhere.
        """
        if name in ("", "..") or Path(name).name != name:
            raise errors.UnparsableValue(
                "expected the name of a service", where="its folder", got=repr(name)
            )
        return self.run / "services" / name

    def revision(self, service: str, version: str, number: int) -> Path:
        """Return where the models and the script of a revision are unpacked."""
        return self.service(service) / "revisions" / f"{version}-{number}"

    def logs(self, service: str) -> Path:
        """Return the folder of a service's logs."""
        return self.service(service) / "logs"

    def collected(self, service: str) -> Path:
        """Return where a service's collected inputs and predictions go."""
        return self.run.parent / "modeldata" / service

    def history(self, service: str) -> Path:
        """Return where a service's requests and failures are written down by minute."""
        return self.service(service) / "history"

    def replica_lock(self, service: str, replica: str) -> Path:
        """Return the file that a replica holds while it lives, with its facts as JSON."""
        return self.service(service) / "replicas" / f"{replica}.lock"

    def replica_socket(self, replica: str) -> Path:
        """Return where a replica takes commands of the keeper."""
        return self.sockets / f"{replica}.control"

    def replica_wire(self, replica: str) -> Path:
        """Return where a replica takes requests of the front door."""
        return self.sockets / f"{replica}.wire"
