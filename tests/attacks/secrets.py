# mypy: ignore-errors
"""Looks for what belongs to the worker: environment, descriptors, memory."""
import gc, re
PATTERN = re.compile(rb"RUNYARD_ATTACK_SECRET=[0-9a-f]{32}")
say("environment", sorted(os.environ.items()))
for name in os.listdir("/proc/self/fd"):
    try:
        say("descriptor", name, os.readlink(f"/proc/self/fd/{name}"))
    except OSError:
        pass
for pid in [1, os.getppid(), os.getpid(), *visible()]:
    for part in ("environ", "cmdline", "auxv"):
        try:
            say(pid, part, read(f"/proc/{pid}/{part}", 20000))
        except OSError:
            pass
say("memory", [repr(each)[:500] for each in gc.get_objects() if isinstance(each, dict) and any("SECRET" in str(k) for k in list(each))][:3])
with open("/proc/self/maps") as maps:
    areas = [line.split()[0] for line in maps if " rw" in line]
try:
    memory = open("/proc/self/mem", "rb", 0)
except OSError:  # level `restricted` has no such file
    memory, areas = open(os.devnull, "rb", 0), []
with memory:
    for area in areas:
        first, last = (int(each, 16) for each in area.split("-"))
        try:
            memory.seek(first)
            data = memory.read(min(last - first, 64 << 20))
        except (OSError, ValueError, OverflowError):
            continue
        for found in PATTERN.findall(data):
            reached("secret in memory", found)
