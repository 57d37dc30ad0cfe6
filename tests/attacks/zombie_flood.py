# mypy: ignore-errors
"""Makes children that end and are never waited for."""
count = 0
try:
    while count < 450:
        if os.fork() == 0:
            os._exit(0)
        count += 1
except OSError as error:
    stopped("at", count, error)
else:
    reached("had", count, "zombies")
