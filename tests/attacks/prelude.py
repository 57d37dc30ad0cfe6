# mypy: ignore-errors
# Stands before each program of this folder (tests/helpers/attack_list.py puts them together).
# Each says in words what it got: REACHED where it got through, stopped where it did not.
import ctypes, errno, os, platform, signal, sys, time

libc = ctypes.CDLL(None, use_errno=True)
marker = sys.argv[1] if len(sys.argv) > 1 else "ry_attack"
REFUSED = (errno.EPERM, errno.ENOSYS, errno.EACCES, errno.EAFNOSUPPORT, errno.EOPNOTSUPP)
NUMBERS = {  # x86_64, aarch64
    "ptrace": (101, 117), "syslog": (103, 116), "personality": (135, 92), "pivot_root": (155, 41),
    "mount": (165, 40), "swapon": (167, 224), "init_module": (175, 105), "quotactl": (179, 60),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "unshare": (272, 97),
    "perf_event_open": (298, 241), "open_by_handle_at": (304, 265), "setns": (308, 268),
    "process_vm_readv": (310, 270), "kcmp": (312, 272), "memfd_create": (319, 279),
    "bpf": (321, 280), "execveat": (322, 281), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "open_tree": (428, 428), "fsopen": (430, 430), "clone3": (435, 435), "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440), "mount_setattr": (442, 442), "mq_open": (240, 180),
}


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode("utf-8", "backslashreplace"))


def reached(*words):
    say("REACHED", *words)


def stopped(*words):
    say("stopped", *words)


def attempt(label, action, *args):
    """Do what must not work; say what came of it."""
    try:
        result = action(*args)
    except (OSError, MemoryError, ImportError) as error:
        stopped(label, type(error).__name__, error)
        return None
    reached(label, repr(result)[:200])
    return result


def alone(label, action, *args):
    """The same in a child, where the system may answer with a signal."""
    pid = os.fork()
    if pid == 0:
        attempt(label, action, *args)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        stopped(label, "signal", os.WTERMSIG(status))


def checked(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def call(name, *args):
    """A system call by its name; raises OSError."""
    number = NUMBERS[name][0 if platform.machine() == "x86_64" else 1]
    return checked(libc.syscall(number, *args))


def permitted(label, name, *args):
    """A call with useless arguments: REACHED if what refused it was not a lack of permission."""

    def action():
        try:
            return call(name, *args)
        except OSError as error:
            if error.errno in REFUSED:
                raise
            return f"allowed, but {error}"

    alone(label, action)


def write(path, data, flags=os.O_WRONLY):
    descriptor = os.open(path, flags)
    try:
        return os.write(descriptor, data)
    finally:
        os.close(descriptor)


def read(path, most=200):
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(descriptor, most)
    finally:
        os.close(descriptor)


def visible():
    """The other processes that can be seen or guessed, but for the first one and its child."""
    try:
        seen = {int(name) for name in os.listdir("/proc") if name.isdigit()}
    except OSError:
        seen = {os.getppid(), *range(max(2, os.getpid() - 300), os.getpid())}
    return sorted((seen | set(range(2, 300))) - {os.getpid(), 1})


say("began")
# --- the program ---
