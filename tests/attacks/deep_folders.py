# mypy: ignore-errors
"""Nests folders as deep as they go."""
depth = 0
try:
    for depth in range(20_000):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
except OSError as error:
    stopped("at", depth, error)
else:
    say("nested", depth)
