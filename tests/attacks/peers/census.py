# mypy: ignore-errors
"""A task that says what it finds around it: the same each time, or something was left."""
import builtins, json, os, resource, signal, socket, stat, sys


def say(key, value):
    print(key, json.dumps(value, sort_keys=True))


def listing(folder):
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        return error.errno


def lines(path):
    try:
        with open(path) as file:
            return file.read().splitlines()[1:]
    except OSError as error:
        return [error.errno]


HERE = os.getcwd()


def bare(path):
    """A path as it is in each task: a working folder's own name may differ."""
    return path.replace(HERE, ".")


for folder in (".", os.environ.get("TMPDIR", "/tmp"), os.path.expanduser("~"), "/tmp", "/dev/shm", "/var/tmp",
               "/run", "/run/lock", "/dev/mqueue", "/dev", "/"):
    say("files " + bare(folder), listing(folder))
for folder in ("/tmp", "/dev/shm", "."):
    try:
        room = os.statvfs(folder)
        say("inodes " + folder, [room.f_files, room.f_ffree] if room.f_files < 1_000_000 else None)
    except OSError as error:
        say("inodes " + folder, error.errno)
say("mode .", stat.filemode(os.stat(".").st_mode))
say("environment", sorted(key for key in os.environ))
say("modules", sorted(name for name in sys.modules if name != "select"))
say("module files", sorted({bare(str(getattr(each, "__file__", None))) for each in list(sys.modules.values())}))
say("builtins", sorted(dir(builtins)))
say("finders", [getattr(each, "__name__", repr(type(each))) for each in sys.meta_path])
say("path", [bare(each) for each in sys.path])
say("json", json.loads("[1]") == [1] and json.dumps.__module__)
with open("/proc/self/status") as file:
    status = dict(line.split(":", 1) for line in file)
for name in ("SigBlk", "SigIgn", "SigCgt", "ShdPnd", "Umask", "NoNewPrivs", "Seccomp", "CapEff"):
    say(name, status.get(name, "").strip())
say("priority", [os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)])
say("limits", {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")})
kinds = {}
for name in listing("/proc/self/fd"):
    try:
        mode = os.fstat(int(name)).st_mode
        kinds[name] = [stat.S_IFMT(mode), os.get_blocking(int(name))]
    except OSError:
        pass
say("descriptors", kinds)
say("input", len(sys.stdin.buffer.read()))
say("host", len(socket.gethostname()))
for kind in ("shm", "sem", "msg"):
    say(kind, len(lines("/proc/sysvipc/" + kind)))
say("listeners", sorted(line.split()[1] for line in lines("/proc/self/net/tcp") if str(line).split()[3:4] == ["0A"]))
say("names", sorted(line.split()[-1] for line in lines("/proc/self/net/unix") if "@ry_" in str(line)))
others = []
for name in listing("/proc") if isinstance(listing("/proc"), list) else ():
    if name.isdigit() and int(name) not in (os.getpid(), os.getppid(), 1):
        try:
            with open(f"/proc/{name}/comm") as file:
                comm = file.read().strip()
            others += [comm] if comm.startswith("ry_") else []
        except OSError:
            pass
say("others", others)
print("counted")
