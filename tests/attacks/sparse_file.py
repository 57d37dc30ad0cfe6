# mypy: ignore-errors
"""Makes a file of 100 GB without writing it, and one that takes its room."""
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
descriptor = os.open("sparse", os.O_RDWR | os.O_CREAT)
attempt("sparse", lambda: os.ftruncate(descriptor, 100 << 30) or True)
attempt("taken", lambda: os.posix_fallocate(descriptor, 0, 100 << 30) or True)
attempt("written far out", lambda: os.pwrite(descriptor, b"x", 90 << 30))
