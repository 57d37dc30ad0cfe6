# mypy: ignore-errors
"""Ends its main thread with others that hold on, and handlers that never return."""
import atexit, threading
atexit.register(lambda: time.sleep(600))
threading.Thread(target=time.sleep, args=(600,)).start()
