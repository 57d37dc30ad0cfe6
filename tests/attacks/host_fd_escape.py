# mypy: ignore-errors
"""Walks up from every descriptor it has, and from its working folder."""
host = os.environ.get("HOST_FILE", "/etc/shadow").lstrip("/")
for name in sorted(os.listdir("/proc/self/fd"), key=int):
    descriptor = int(name)
    try:
        up = os.open("../" * 20 + host, os.O_RDONLY, dir_fd=descriptor)
    except OSError:
        continue
    reached("from descriptor", descriptor, os.read(up, 50))
attempt("chain of ..", read, "../" * 30 + host)
attempt("fchdir /", lambda: read("/proc/self/cwd/" + "../" * 30 + host))
