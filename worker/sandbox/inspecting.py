"""What a task's own process tells of an exception that ended it. Runs inside it, by itself.

A copy of this file is the ``sitecustomize`` of tasks: it is loaded before the program, from a
folder named by PYTHONPATH, and leaves no frame, no open descriptor and no module in the program's
way. It keeps what it uses from before the program starts, so that nothing that the program put in
the place of a module, a function or a built-in name is ever run by it.

What it tells goes to descriptor 0, behind the task's input, where the slot's keeper reads it: at
the end, as a line of JSON, the exception that the interpreter has printed; at a signal just before
the wall limit, as text by faulthandler, where every thread is. A program can write there too: what
is read only describes, and decides nothing. Runs on CPython 3.8 and later.
"""

from __future__ import annotations

import _thread
import atexit
import builtins
import faulthandler
import gc
import os
import sys
from _signal import SIG_IGN, SIGXFSZ  # type: ignore[import-not-found]
from _signal import signal as handle
from itertools import starmap
from os import fstat, getpid, write

FALSE: bool = False
if FALSE:  # for the type checker alone
    from typing import Any

globals()["__builtins__"] = dict(builtins.__dict__)  # functions below use this copy

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
    """Describe an exception by the modules beside us; no garbage is collected meanwhile."""
    collecting = COLLECTING()
    PAUSE()
    try:
        record: dict[str, Any] = SPACE["record_of"](error, chained)
    finally:
        if collecting:
            RESUME()
    return record


def tell() -> None:
    """Write down the exception that the interpreter printed last, and those of threads."""
    try:
        RESERVE.clear()
        error = SYSTEM.get("last_value")
        main = issubclass(type(error), BaseException)
        if getpid() == PROCESS and (main or THREADS) and is_input():
            put(text_of(error if main else None))
    except BaseException:  # noqa: BLE001, S110 (the program ends as it would without us)
        pass


def text_of(error: BaseException | None) -> str:
    """Write the record of an exception; where memory is short, say, its name alone."""
    try:
        record = described(error, MOST_CHAINED) if error is not None else {}
        if THREADS:
            record["threads"] = THREADS
        return trimmed(record)
    except BaseException:  # noqa: BLE001 (whatever it is: less must do)
        return written({"type": SPACE["name_of"](type(error)), "frames": []})


def is_input() -> bool:
    """Say whether descriptor 0 is still what the task was given; it may be the program's own."""
    now = fstat(0)
    return (now.st_dev, now.st_ino) == INPUT


def put(text: str) -> None:
    """Write a line behind the input; past the limit of a file's size that is a signal."""
    before = handle(SIGXFSZ, SIG_IGN)
    try:
        write(0, b"\n" + text.encode("ascii") + b"\n")
    finally:
        if before is not None:
            handle(SIGXFSZ, before)


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
    except ImportError as error:
        if error.name != "sitecustomize":
            raise  # `site` complains of that one
    if ours is not None:
        sys.modules.setdefault("sitecustomize", ours)


def load(*names: str) -> dict[str, Any]:
    """Load the modules beside us into one space; nobody finds them among the modules."""
    space: dict[str, Any] = {}
    for name in names:
        code = LOADER(name, os.path.join(FOLDER, f"{name}.py")).get_code(name)
        exec(code, space)  # noqa: S102 (our own)
    sys.modules.pop("__future__", None)  # loaded by the first lines of ours
    return space


def register() -> None:
    """Have ourselves called last, with the program's traces put away meanwhile.

    The last that is registered is called first. All but `tell` are calls in C, which traces do not
    see, so that they never see us.
    """
    for get, put_back in ((sys.gettrace, sys.settrace), (sys.getprofile, sys.setprofile)):
        kept: list[Any] = []
        atexit.register(next, map(put_back, kept))
        KEPT.append((kept, get, put_back))
    atexit.register(tell)
    for kept, get, put_back in KEPT:
        atexit.register(put_back, None)
        atexit.register(next, map(kept.append, starmap(get, [()])))
    watch_threads()
    try:
        faulthandler.register(TRACE_SIGNAL, file=0, all_threads=True, chain=False)
    except (OSError, RuntimeError, ValueError):
        pass


def prepare() -> None:
    """Load what describes exceptions. Raises OSError."""
    SPACE.update(load("valuing", "describing"))


def begin() -> None:
    """Be there when the program ends, in this process alone. Raises OSError."""
    global PROCESS, INPUT  # noqa: PLW0603 (a fork of whoever loaded this has its own)
    PROCESS = getpid()
    INPUT = (fstat(0).st_dev, fstat(0).st_ino)
    register()


FOLDER = os.path.dirname(os.path.abspath(__file__))
LOADER: Any = type(globals()["__loader__"])
SYSTEM = sys.__dict__
COLLECTING, PAUSE, RESUME = gc.isenabled, gc.disable, gc.enable
SPACE: dict[str, Any] = {}
THREADS: list[dict[str, Any]] = []
KEPT: list[tuple[list[Any], Any, Any]] = []
PRINT_THREADS: Any = _thread._excepthook  # noqa: SLF001
RESERVE = [bytes(2 << 20)]  # for the end of one without memory; no page of it is touched
PROCESS = getpid()
INPUT = (-1, -1)
if __name__ == "sitecustomize":
    go_unseen()
    try:
        prepare()
        begin()
    except OSError:
        pass
    load_the_site_s_own()
