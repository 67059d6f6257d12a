"""Accepts connections that must shake hands first, and counts them from their first moment.

The event loop's own server shows a connection only after its handshake: until then nobody would
count the silent ones, of which each has a descriptor and the memory of OpenSSL.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Final

logger = logging.getLogger(__name__)

_MOST_AT_ONCE: Final = 100  # accepted before others have their turn
_RETRY_S: Final = 1.0  # after an error of accept(2), such as too many open files
_HANDSHAKE_S: Final = 10.0


class TlsListener:
    """Accepts connections in the running event loop and encrypts them.

    Args:
        listener: accepts connections; other processes may have it too.
        context: what they are encrypted with.
        connect: makes the protocol of a connection, which begins after the handshake.
        may_enter: told how many are shaking hands, says whether another may.
    """

    def __init__(
        self,
        listener: socket.socket,
        context: ssl.SSLContext,
        connect: Callable[[], asyncio.BaseProtocol],
        *,
        may_enter: Callable[[int], bool],
    ) -> None:
        self._listener = listener
        self._context = context
        self._connect = connect
        self._may_enter = may_enter
        self._handshakes: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(listener, self._accept)

    def _accept(self) -> None:
        for _ in range(_MOST_AT_ONCE):
            try:
                connected, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return  # taken by another process, or gone
            except OSError as error:
                logger.error("No connection can be accepted: %s", error)
                self._loop.remove_reader(self._listener)
                self._retry = self._loop.call_later(_RETRY_S, self._listen_again)
                return
            if not self._may_enter(len(self._handshakes)):
                connected.close()
                continue
            connected.setblocking(False)
            task = self._loop.create_task(self._shake_hands(connected))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    def _listen_again(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    async def _shake_hands(self, connected: socket.socket) -> None:
        # Whoever speaks no TLS, or none of ours, is dropped; so are those who say nothing.
        with contextlib.suppress(OSError):
            await self._loop.connect_accepted_socket(
                self._connect,
                connected,
                ssl=self._context,
                ssl_handshake_timeout=_HANDSHAKE_S,
            )

    def stop(self) -> None:
        """Accept nothing more."""
        if self._retry is not None:
            self._retry.cancel()
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()

    async def close(self) -> None:
        """Accept nothing more, and drop who is still shaking hands."""
        self.stop()
        for task in self._handshakes:
            task.cancel()
        await asyncio.gather(*self._handshakes, return_exceptions=True)
