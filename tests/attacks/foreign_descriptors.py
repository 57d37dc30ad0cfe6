# mypy: ignore-errors
"""Uses any descriptor beyond its own three."""
import socket, stat
for name in os.listdir("/proc/self/fd"):
    descriptor = int(name)
    if descriptor < 3:
        continue
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        continue  # that of the listing itself
    reached("descriptor", descriptor, "of kind", oct(stat.S_IFMT(mode)))
