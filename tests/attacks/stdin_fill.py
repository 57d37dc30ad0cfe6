# mypy: ignore-errors
"""Writes 1 GB into the file behind its stdin."""
block, total = b"\1" * (1 << 20), 0
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    descriptor = os.open("/proc/self/fd/0", os.O_RDWR)
    while total < 1 << 30:
        total += os.write(descriptor, block)
except OSError as error:
    stopped("at", total, error)
else:
    reached("wrote 1 GiB")
