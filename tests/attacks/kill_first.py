# mypy: ignore-errors
"""Sends every signal to the first process and to its parent, which must live."""
for pid in {1, os.getppid()}:
    for number in range(1, 65):
        try:
            os.kill(pid, number)
        except OSError:
            pass
time.sleep(0.2)
say("still here")
