"""Programs of many ends, made by hypothesis: what they do first, and how they end."""

from __future__ import annotations

import signal

from hypothesis import strategies as st

PRELUDE = (
    "import _thread, asyncio, atexit, os, signal, subprocess, sys, threading, time, warnings\n"
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
BYTES = st.binary(max_size=40)
DEADLY = [
    number
    for number in signal.Signals
    if number.name in ("SIGHUP", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE",
                       "SIGKILL", "SIGUSR1", "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM",
                       "SIGXCPU", "SIGSYS", "SIGVTALRM", "SIGPROF", "SIGINT")
]  # fmt: skip
CODES = st.one_of(
    st.integers(-300, 600), st.sampled_from([2**31, 2**32 + 3, -(2**31), 2**63, -(2**63), 10**30])
)

SAYS = st.one_of(
    st.builds("print({0!a}, end={1!r})".format, TEXTS, st.sampled_from(["", "\n", "\r\n"])),
    st.builds("sys.stdout.write({0!a})".format, TEXTS),
    st.builds("sys.stderr.write({0!a})".format, TEXTS),
    st.builds("sys.stdout.buffer.write({0!r})".format, BYTES),
    st.builds("sys.stderr.buffer.write({0!r})".format, BYTES),
    st.builds("os.write({0}, {1!r})".format, st.sampled_from([1, 2]), BYTES),
    st.builds("print({0!a}, file=sys.stderr)".format, TEXTS),
    st.just("print('\\ud800')"),
    st.just("warnings.warn('careful')"),
    st.just("print(repr(sys.stdin.read()))"),
    st.just("print(sorted(os.environ), sys.path[1:], sorted(os.listdir('/proc/self/fd'))[:3])"),
    st.just("print([f.f_code.co_name for f in [sys._getframe()]], sys.flags, sys.argv)"),
)
CHANGES = st.sampled_from([
    "sys.stdout.close()", "sys.stderr.close()", "sys.stdin.close()", "os.close(0)", "os.close(1)",
    "os.close(2)", "os.dup2(1, 0)", "os.dup2(2, 0)", "os.close(0); open('tmp/x', 'w+')",
    "os.dup2(1, 2)", "sys.stdout = None", "sys.stderr = None", "del sys.excepthook",
    "sys.excepthook = lambda *a: print('hook', a[0].__name__)", "sys.excepthook = None",
    "sys.tracebacklimit = 1", "sys.last_value = ValueError('not mine')", "sys.modules.clear()",
    "del os.write", "os.write = lambda *a: print('mine', flush=True)", "os.chdir('/')",
    "os.environ.clear()", "sys.setrecursionlimit(200)", "atexit._clear()",
    "os.remove('main.py')", "sys.unraisablehook = lambda a: print('unraisable')",
    "threading.excepthook = lambda a: print('thread hook', a.exc_type.__name__)",
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)", "time.sleep(0.01)",
    "signal.signal(signal.SIGTERM, lambda *a: sys.exit(7))",
])  # fmt: skip
AFTER = (
    "if 'late' not in globals():\n"
    "    def after(): threading.main_thread().join(); os.write(1, b'late')\n"
    "    late = threading.Thread(target=after); late.start()"
)
"""Once only: two such threads would race."""
LATER = st.sampled_from([
    "atexit.register(print, 'at exit')", "atexit.register(lambda: 1 / 0)",
    "atexit.register(os._exit, 9)", "atexit.register(sys.exit, 8)",
    "atexit.register(lambda: (sys.stdout.close(), os.close(2)))",
    "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    AFTER,
    "t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()",
    "t = threading.Thread(target=sys.exit, args=('x',)); t.start(); t.join()",
    "_thread.start_new_thread(lambda: 1 / 0, ())\nwhile _thread._count(): os.sched_yield()",
    "class D:\n    def __del__(self): print('gone')\nd = D()",
    "class E:\n    def __del__(self): raise OSError('in del')\ne = E()",
    "subprocess.run([sys.executable, '-c', 'raise KeyError(1)'])",
    "pid = os.fork()\nif pid == 0: raise OSError('in the child')\nos.waitpid(pid, 0)",
    "pid = os.fork()\nif pid == 0: sys.exit(3)\nprint(os.waitpid(pid, 0)[1])",
])  # fmt: skip

RAISES = st.sampled_from([
    "1 / 0", "undefined", "raise ValueError", "raise KeyError('a', 2)", "assert 1 == 2, [1]",
    "raise OSError(2, 'no such', 'file')", "import nowhere", "int('x')", "[][1]", "{}['k']",
    "raise Exception('line\\nline')", "raise BaseException('base')", "raise KeyboardInterrupt",
    "raise GeneratorExit", "raise StopIteration(3)", "raise MemoryError", "raise SystemExit(4)",
    "raise SyntaxError('mine', ('main.py', 1, 2, 'text'))",
    "raise UnicodeDecodeError('u', b'x', 0, 1, 'r')",
    "def f(n): return f(n + 1)\nf(0)", "def f(n): g(n)\ndef g(n): f(n + 1)\nf(0)",
    "try: 1 / 0\nexcept Exception as e: raise KeyError('b') from e",
    "try: 1 / 0\nexcept Exception: raise KeyError('b')",
    "try: 1 / 0\nexcept Exception: raise KeyError('b') from None",
    "e = ValueError('self'); e.__cause__ = e; raise e", "eval('1 +')", "exec('def f(:')",
    "eval(compile('1 / 0', 'other.py', 'eval'))", "raise type('Odd', (Exception,), {})('x')",
    "raise type('Odd', (Exception,), {'__str__': lambda s: 1 / 0})",
    "raise type('Odd', (Exception,), {'__str__': lambda s: print('ran') or 'told'})",
    "raise type('Odd', (SystemExit,), {'code': 6})",
    "raise ExceptionGroup('g', [ValueError(1), OSError(2)])",
    "async def f(): raise ValueError('in a task')\nasyncio.run(f())", "raise 3", "raise None",
    "r, w = os.pipe(); os.close(r); os.write(w, b'x')", "_thread.interrupt_main(); time.sleep(0.1)",
    "e = ValueError('noted'); e.add_note('a note'); raise e", "b = bytearray(1 << 40)",
])  # fmt: skip
ENDS = st.one_of(
    st.just(""),
    st.builds("sys.exit({0})".format, CODES),
    st.builds("os._exit({0})".format, st.integers(0, 255)),
    st.sampled_from([
        "sys.exit()", "sys.exit(None)", "sys.exit('a text')", "sys.exit(b'bytes')", "exit('')",
        "sys.exit((1, 2))", "sys.exit((3,))", "sys.exit(object())", "sys.exit(True)", "quit(5)",
        "sys.exit(1.5)", "sys.exit(type('T', (), {'__str__': lambda s: 1 / 0})())", "os.abort()",
        "sys.exit(ValueError('v'))", "sys.exit('\\ud800')",
        "os.execv('/bin/sh', ['sh', '-c', 'echo x; exit 9'])",
        "os.execv(sys.executable, [sys.executable, '-c', 'print(1 / 0)'])",
        "os.execv('/nowhere', ['x'])", "_thread.exit()", "this is no Python",
        "def f(:", "\tx = 1\n  y",
        "x = '", "# \xe9", "print('nul \\0')", "while True:\n    raise SystemExit",
    ]),
    RAISES,
    st.builds("os.kill(os.getpid(), {0})\ntime.sleep(5)".format, st.sampled_from(DEADLY).map(int)),
)  # fmt: skip
FIRST = st.lists(st.one_of(SAYS, CHANGES, LATER, SAYS), max_size=4)


def _program(first: list[str], end: str, *, nested: bool) -> bytes:
    if nested and end and not end.startswith(("this", "def f(:", "\t", "x = '")):
        end = "def main():\n" + "".join(f"    {line}\n" for line in end.split("\n")) + "main()"
    return (PRELUDE + "\n".join([*first, end])).encode("utf-8")


PROGRAMS = st.builds(_program, FIRST, ENDS, nested=st.booleans())
"""Programs that end by themselves, in the same way each time, apart from addresses."""
