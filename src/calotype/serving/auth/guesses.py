"""How often one address may present a wrong credential."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from calotype.serving.refusals import Refusal

PER_MINUTE = 20
_WINDOW_S = 60.0
_MAX_ADDRESSES = 10_000


class Guesses:
    """Counts failures by address, per minute.

    Only failures are counted and refused: behind one address there may be a whole office, whose
    right credentials go on working. The credential is therefore checked first, always.

    Args:
        per_minute: failures of one address that are answered 401; further ones get 429.
        clock: seconds, never going back.
    """

    def __init__(
        self, per_minute: int = PER_MINUTE, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_minute = per_minute
        self._clock = clock
        # Address to [start of its minute, failures in it], oldest minute first.
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def count(self, client: str) -> None:
        """Count a failure of `client`.

        Raises:
            Refusal: 429 when there were too many within a minute.
        """
        now_s = self._clock()
        address = _network(client)
        start_s, failures = self._failures.get(address, (now_s, 0))
        if now_s - start_s >= _WINDOW_S:
            start_s, failures = now_s, 0
        self._failures[address] = (start_s, failures + 1)
        if not failures:
            self._failures.move_to_end(address)
        self._forget(now_s)
        if failures >= self._per_minute:
            wait_s = math.ceil(start_s + _WINDOW_S - now_s)
            raise Refusal(
                429,
                f"More than {self._per_minute} wrong credentials came from this address within a "
                f"minute. Wait {wait_s} s, then use a right one.",
                [(b"retry-after", b"%d" % wait_s)],
            )

    def _forget(self, now_s: float) -> None:
        while self._failures:
            address, (start_s, _) = next(iter(self._failures.items()))
            if now_s - start_s < _WINDOW_S and len(self._failures) <= _MAX_ADDRESSES:
                return
            del self._failures[address]


def _network(client: str) -> str:
    """Return what one caller has: an IPv4 address, or the /64 of an IPv6 address.

    >>> _network("2001:db8:1:2:3:4:5:6"), _network("192.0.2.1")
    ('2001:db8:1:2', '192.0.2.1')
    """
    if ":" not in client:
        return client
    import ipaddress

    try:
        address = ipaddress.IPv6Address(client)
    except ValueError:
        return client
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    groups = [format(int(group, 16), "x") for group in address.exploded.split(":")[:4]]
    return ":".join(groups)
