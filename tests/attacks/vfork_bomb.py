# mypy: ignore-errors
"""Spawns by vfork (posix_spawn) until it cannot; the children sleep."""
count = 0
try:
    while count < 450:
        os.posix_spawn("/bin/sleep", [marker, "600"], {})
        count += 1
except OSError as error:
    stopped("at", count, error)
else:
    reached("had", count, "children")
