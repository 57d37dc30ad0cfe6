"""What a task's own process tells of an exception that ended it. Runs inside it, by itself.

A copy of this file is the ``sitecustomize`` of tasks: it is loaded before the program, from a
folder named by PYTHONPATH, and leaves no frame, no open descriptor and no module in the program's
way. It uses what the interpreter has loaded anyway, so that nothing that the program put in a
module's place is ever run by it.

What it tells goes to descriptor 0, behind the task's input, where the slot's keeper reads it: at
the end, as a line of JSON, the exception that the interpreter has printed; at a signal just before
the wall limit, as text by faulthandler, where every thread is. A program can write there too: what
is read only describes, and decides nothing. Runs on CPython 3.8 and later.
"""

from __future__ import annotations

import _thread
import atexit
import faulthandler
import os
import sys

FALSE: bool = False
if FALSE:  # for the type checker alone
    from typing import Any

TRACE_SIGNAL = 60
MOST_BYTES = 24_000
MOST_THREADS = 4
MOST_CHAINED = 4


def quoted(text: str) -> str:
    """Write a JSON string; `json` may be the program's own by now."""
    out = []
    for letter in text:
        number = ord(letter)
        if letter in '"\\':
            out.append("\\" + letter)
        elif 32 <= number < 127:
            out.append(letter)
        elif number < 0x10000:
            out.append(f"\\u{number:04x}")
        else:
            number -= 0x10000
            out.append(f"\\u{0xD800 + (number >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}")
    return '"' + "".join(out) + '"'


def written(value: Any) -> str:
    """Write a value of ours as JSON."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{quoted(k)}:{written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(each) for each in value) + "]"
    return str(int(value))


def trimmed(record: dict[str, Any]) -> str:
    """Write a record, with less and less in it while it would be too large."""
    text = written(record)
    if len(text) > MOST_BYTES:
        for each in (record, *record.get("threads", [])):
            for frame in each.get("frames", []):
                frame.pop("locals", None)
        text = written(record)
    for part in ("threads", "exceptions", "context", "cause"):
        if len(text) > MOST_BYTES and record.pop(part, None) is not None:
            text = written(record)
    if len(text) > MOST_BYTES:
        record["frames"] = record["frames"][-4:]
        text = written(record)
    return text if len(text) <= MOST_BYTES else written({"type": record["type"], "frames": []})


def described(error: BaseException, chained: int) -> dict[str, Any]:
    """Describe an exception by the module beside us, which is loaded only when there is one."""
    if not SPACE:
        exec(LOADER("describing", BESIDE).get_code("describing"), SPACE)  # noqa: S102 (our own)
    record: dict[str, Any] = SPACE["record_of"](error, chained)
    return record


def tell() -> None:
    """Write down the exception that the interpreter printed last, and those of threads."""
    error = getattr(sys, "last_value", None)
    main = error is not None and issubclass(type(error), BaseException)
    if GETPID() != PROCESS or not (main or THREADS):
        return
    try:
        record = described(error, MOST_CHAINED) if error is not None and main else {}
        if THREADS:
            record["threads"] = THREADS
        text = trimmed(record)
    except BaseException:  # noqa: BLE001 (out of memory or descriptors, say: then less must do)
        text = written({"type": type.__dict__["__name__"].__get__(type(error)), "frames": []})
    try:
        if place_of(0) == PLACE:
            WRITE(0, b"\n" + text.encode("ascii") + b"\n")
    except OSError:
        pass


def place_of(descriptor: int) -> tuple[int, int]:
    """Tell files apart: the program may have put another one, its own output even, at number 0."""
    status = FSTAT(descriptor)
    return status.st_dev, status.st_ino


def thread_failed(args: Any) -> None:
    """Note what ended a thread, then have it printed as ever."""
    try:
        if len(THREADS) < MOST_THREADS and args.exc_type is not SystemExit:
            THREADS.append(described(args.exc_value, 0))
    except BaseException:  # noqa: BLE001, S110 (the program's thread must not fail by us)
        pass
    PRINT_THREADS(args)


def watch_threads() -> None:
    """Hear of what ends threads; `threading` takes its hook from here when it is imported."""
    _thread._excepthook = thread_failed  # noqa: SLF001
    loaded: Any = sys.modules.get("threading")
    if loaded is not None and loaded.excepthook is PRINT_THREADS:
        loaded.excepthook = thread_failed


def go_unseen() -> None:
    """Leave the path and the environment as they would be without us."""
    theirs = os.environ.pop("PYTHONPATH", "").partition(os.pathsep)[2]
    if theirs:
        os.environ["PYTHONPATH"] = theirs
    sys.path[:] = [each for each in sys.path if each != FOLDER]
    sys.path_importer_cache.pop(FOLDER, None)


def load_the_site_s_own() -> None:
    """Run the interpreter's own sitecustomize, whose place we took, if it has one."""
    ours = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        pass
    if ours is not None:
        sys.modules.setdefault("sitecustomize", ours)


FOLDER = os.path.dirname(os.path.abspath(__file__))
BESIDE = os.path.join(FOLDER, "describing.py")
LOADER: Any = type(globals()["__loader__"])
SPACE: dict[str, Any] = {}
THREADS: list[dict[str, Any]] = []
PRINT_THREADS: Any = _thread._excepthook  # noqa: SLF001
GETPID, FSTAT, WRITE = os.getpid, os.fstat, os.write
PROCESS = GETPID()
PLACE: tuple[int, int] | None = None
if __name__ == "sitecustomize":
    go_unseen()
    atexit.register(tell)
    watch_threads()
    try:
        PLACE = place_of(0)
        faulthandler.register(TRACE_SIGNAL, file=0, all_threads=True, chain=False)
    except (OSError, RuntimeError, ValueError):
        pass
    load_the_site_s_own()
