# mypy: ignore-errors
"""Changes limits: of others, and its own upwards."""
import resource
for pid in {1, os.getppid()}:
    def change(pid=pid):
        now = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        return resource.prlimit(pid, resource.RLIMIT_NOFILE, now)
    alone(f"limits of {pid}", change)
for name in ("RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_FSIZE", "RLIMIT_CPU", "RLIMIT_CORE", "RLIMIT_MEMLOCK"):
    kind = getattr(resource, name)
    hard = resource.getrlimit(kind)[1]
    if hard == resource.RLIM_INFINITY:
        reached(name, "has no bound")
    else:
        alone("raise " + name, resource.setrlimit, kind, (hard, hard + 1))
