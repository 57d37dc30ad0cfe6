# mypy: ignore-errors
"""Ends the threads' leader only, while another thread runs on."""
import threading
def on():
    while True:
        time.sleep(1)
threading.Thread(target=on, daemon=True).start()
libc.syscall(60 if platform.machine() == "x86_64" else 93, 0)
