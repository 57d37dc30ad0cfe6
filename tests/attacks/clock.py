# mypy: ignore-errors
"""Sets the clock to what it is."""
alone("clock_settime", lambda: time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME)))
def settimeofday():
    now = time.time()
    return checked(libc.settimeofday((ctypes.c_long * 2)(int(now), int(now % 1 * 1e6)), None))
alone("settimeofday", settimeofday)
attempt("time offsets", write, "/proc/self/timens_offsets", b"monotonic 1 0")
