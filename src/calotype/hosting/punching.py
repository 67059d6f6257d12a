"""Giving back the room of a file's beginning while others append to its end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
from typing import Final

_KEEP_SIZE: Final = 0x01  # FALLOC_FL_KEEP_SIZE
_PUNCH_HOLE: Final = 0x02  # FALLOC_FL_PUNCH_HOLE
_DARWIN_PUNCH_HOLE: Final = 99  # F_PUNCHHOLE
_DARWIN_BLOCK: Final = 4096


def locked(descriptor: int, *, is_shared: bool = False) -> bool:
    """Lock a file until the descriptor is closed.

    Returns:
        False when somebody else holds it; who shares it waits instead.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def give_back(descriptor: int, end: int) -> None:
    """Free the room of the bytes before `end`; its length and the bytes after them stay.

    On file systems that cannot, the file is emptied and made as long again: lines that are written
    in the microseconds between are lost there.
    """
    with contextlib.suppress(OSError):
        return _punch(descriptor, end)
    if os.fstat(descriptor).st_size == end:  # else it waits for a moment in which nobody writes
        os.ftruncate(descriptor, 0)
        os.ftruncate(descriptor, end)


def _punch(descriptor: int, end: int) -> None:
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        offsets = (ctypes.c_longlong(0), ctypes.c_longlong(end))
        if libc.fallocate64(descriptor, _KEEP_SIZE | _PUNCH_HOLE, *offsets) != 0:
            raise OSError(ctypes.get_errno(), "no hole")
    elif sys.platform == "darwin":
        import fcntl

        hole = struct.pack("=IIqq", 0, 0, 0, end // _DARWIN_BLOCK * _DARWIN_BLOCK)
        fcntl.fcntl(descriptor, _DARWIN_PUNCH_HOLE, hole)
    else:
        raise OSError("no hole")
