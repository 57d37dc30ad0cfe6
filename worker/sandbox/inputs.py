"""What a job is given in files without a name, and what comes back behind that in two of them."""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack

from attrs import frozen
from twisted.logger import Logger

from runyard.protocols.errors import ProtocolError
from runyard.protocols.files import NONE, Files, unpack
from runyard.protocols.messages import PACKED_BYTES

MOST_TOLD = 64 * 1024

log = Logger()


@frozen
class Inputs:
    """Open descriptors of a job's order, code, stdin and files, and the folder that it runs in."""

    order: int
    code: int
    stdin: int
    stdin_size: int
    files: int
    files_size: int
    folder: str

    def descriptors(self, outputs: list[int]) -> list[int]:
        """Give the descriptors, with those of its outputs, in the order that the helper takes."""
        return [self.order, self.code, self.stdin, *outputs, self.files]

    def close(self) -> None:
        """Close them."""
        for descriptor in self.descriptors([]):
            os.close(descriptor)


def make_inputs(order: bytes, code: bytes, stdin: bytes, folder: str, files: bytes = b"") -> Inputs:
    """Put a job's inputs where its helper can read them.

    Raises:
        OSError: there are no descriptors or no memory; none is left open.
    """
    with ExitStack() as undo:
        made = []
        for content in (order, code, stdin, files):
            made.append(memory_file(content))
            undo.callback(os.close, made[-1])
        # What a process tells goes behind its input, wherever it has read to.
        fcntl.fcntl(made[2], fcntl.F_SETFL, os.O_APPEND)
        undo.pop_all()
    return Inputs(made[0], made[1], made[2], len(stdin), made[3], len(files), folder)


def memory_file(content: bytes) -> int:
    """Give a descriptor at the start of an anonymous file with this content; no disk is touched."""
    descriptor = os.memfd_create("runyard", os.MFD_CLOEXEC)
    with ExitStack() as undo:
        undo.callback(os.close, descriptor)
        if content:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            os.lseek(descriptor, 0, os.SEEK_SET)
        undo.pop_all()
    return descriptor


class Said:
    """What a job's process writes to its stdin's file, behind the input.

    Raises:
        OSError: there is no descriptor for it.
    """

    def __init__(self, stdin: int, size: int) -> None:
        self._descriptor = os.dup(stdin)
        self._size = size

    def take(self, folder: str) -> bytes:
        """Read its last part, without the name of the job's folder, and close.

        A process can make the file as large as it may, and cut it: what is read stays bounded.
        """
        try:
            size = os.fstat(self._descriptor).st_size
            at = max(self._size, size - MOST_TOLD)
            told = os.pread(self._descriptor, MOST_TOLD, at) if size > at else b""
        except OSError:
            told = b""
        self.close()
        return told.replace(f"{folder}/".encode(), b"")

    def close(self) -> None:
        """Close it; idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Found:
    """What the helper packs behind a job's given files: those that the job has left.

    No process of a job ever has this file.

    Raises:
        OSError: there is no descriptor for it.
    """

    def __init__(self, files: int, size: int) -> None:
        self._descriptor = os.dup(files)
        self._size = size

    def take(self) -> Files:
        """Read them, and close; what is not of its form is nothing, with a line in the log."""
        try:
            size = os.fstat(self._descriptor).st_size - self._size
            if not size:
                return NONE
            if size > PACKED_BYTES:
                raise ProtocolError(f"{size} bytes")
            return unpack(os.pread(self._descriptor, size, self._size))
        except (OSError, ProtocolError) as error:
            log.warn("the files of a job cannot be read: {error}", error=str(error))
            return NONE
        finally:
            self.close()

    def close(self) -> None:
        """Close it; idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
