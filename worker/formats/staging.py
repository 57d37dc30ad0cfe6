"""A schema and an output in one anonymous file, for the checking child: no disk, no long copy."""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

PIECE = 1024 * 1024
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


async def stage(clock: IReactorTime, *parts: bytes) -> int:
    """Give a descriptor of a sealed file with the parts; others have their turn between pieces.

    Raises:
        OSError: there is no memory or no descriptor for it; none is left open.
    """
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    descriptor = os.memfd_create("runyard-output", flags)
    with ExitStack() as undo:
        undo.callback(os.close, descriptor)
        written = 0
        for part in parts:
            view = memoryview(part)
            while view:
                if written >= PIECE:
                    written = 0
                    await deferLater(clock, 0)
                count = os.write(descriptor, view[:PIECE])
                written += count
                view = view[count:]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
        undo.pop_all()
    return descriptor
