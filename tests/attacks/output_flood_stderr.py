# mypy: ignore-errors
"""Writes to stderr from eight processes at once."""
block = b"x" * (1 << 16)
for _ in range(3):
    os.fork()
for _ in range(4096):
    os.write(2, block)
