# mypy: ignore-errors
"""Stops itself by SIGSTOP."""
os.kill(os.getpid(), signal.SIGSTOP)
time.sleep(600)
