# mypy: ignore-errors
"""Starts threads that wait, without end."""
import threading
gate = threading.Event()
count = 0
try:
    while count < 450:
        threading.Thread(target=gate.wait, daemon=True).start()
        count += 1
except (RuntimeError, MemoryError) as error:
    stopped("at", count, error)
else:
    reached("had", count, "threads")
os.write(1, b"done\n")
os._exit(0)
