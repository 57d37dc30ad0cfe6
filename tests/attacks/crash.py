# mypy: ignore-errors
"""Ends by faults of memory, in a thread, in a child and by itself."""
pid = os.fork()
if pid == 0:
    ctypes.string_at(8)
os.waitpid(pid, 0)
ctypes.string_at(8)
