"""Leaving early: once all is done that a program can notice of its end, the process exits.

An interpreter that ends takes itself down, module by module and type by type. For a forked child
that is most of its work: it writes to, and so copies, hundreds of pages that it shared. What of it
a program can notice is over when its own modules are gone: files are flushed and closed, `__del__`
and the callbacks of weak references have run. Then we exit, with what the interpreter would have
exited with.

That is known for a program that came to its end by itself, without an exception and without
SystemExit: then the interpreter has taken ``__file__`` back out of ``__main__``, and has noted no
exception in `sys`. Wherever there is any doubt (threads, other streams, an own excepthook), nothing
of this happens, and the interpreter goes on as ever. Standard library only.
"""

from __future__ import annotations

import atexit
import ctypes
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from runyard.worker.sandbox.kernel import syscalls
else:
    from kernel import syscalls

STAYING = ("sys", "builtins", "__main__")
TAKEN_OUT = ("__file__", "__cached__")
KEPT = ("__name__", "__doc__", "__package__", "__loader__", "__spec__", "__builtins__")
NOTED = ("last_type", "last_value", "last_traceback", "last_exc")
STREAMS = ("stdout", "stderr")
ODD = ("_xxsubinterpreters", "_interpreters", "readline", "_curses")
NAME = "sitecustomize"


class Last:
    """What is destroyed when all modules of a program are."""

    def __init__(self, alive: Callable[[], Any]) -> None:
        self._alive = alive
        self._streams = [SYSTEM[name] for name in STREAMS]
        self._exit = syscalls.LIBC.exit

    def __del__(self) -> None:
        """Exit, unless something of the program is still there or unwritten."""
        try:
            if self._alive() is None:
                for stream in self._streams:
                    stream.flush()
                self._exit(0)  # the C library's, which flushes its own streams
        except BaseException:  # noqa: BLE001, S110 (the interpreter goes on, and says what it was)
            pass


def prepare() -> None:
    """Make what is loaded by now outlive everything; called once, in the zygote."""
    for name, module in list(MODULES.items()):
        if name not in STAYING:
            OURS.append(name)
            INCREF(module)
            INCREF(module.__dict__)
    for own in (PLACE, PLACE.__dict__, globals()):
        INCREF(own)


def arm() -> None:
    """Be called when a program has ended, after all that it has registered itself."""
    atexit.register(leave)


def leave() -> None:
    """Make the end short, where it is surely an ordinary one."""
    try:
        if is_plain():
            shorten()
    except BaseException:  # noqa: BLE001, S110 (the interpreter goes on as ever)
        pass


def is_plain() -> bool:
    """Whether the program came to its end by itself, and nothing is unusual about it."""
    space = MODULES["__main__"].__dict__
    return (
        id(space) == MAIN
        and not any(name in space for name in TAKEN_OUT)
        and all(name in space for name in KEPT)
        and not any(name in SYSTEM for name in NOTED)
        and SYSTEM.get("excepthook") is HOOK
        and all(SYSTEM.get(name) is stream for name, stream in BOUND)
        and not any(name in MODULES for name in ODD)
        and len(FRAMES()) == 1
    )


def shorten() -> None:
    """Leave the interpreter the program's own modules alone, with us behind the last of them."""
    for _, stream in BOUND:
        stream.flush()
    main = MODULES["__main__"]
    others = [(name, module) for name, module in MODULES.items() if name not in OURS]
    PLACE.last = Last(REF(main))
    MODULES.clear()
    MODULES[NAME] = PLACE  # the first is taken down last
    MODULES.update(others)


MODULES = sys.modules
SYSTEM = sys.__dict__
PLACE: Any = type(sys)(NAME)
OURS: list[str] = []
HOOK = sys.excepthook
FRAMES = sys._current_frames  # noqa: SLF001
BOUND = [(name, SYSTEM[name]) for name in STREAMS]
REF = __import__("_weakref").ref
INCREF = ctypes.pythonapi.Py_IncRef
INCREF.argtypes = [ctypes.py_object]
INCREF.restype = None

MAIN = id(sys.modules["__main__"].__dict__)  # no reference: it must be able to go
