# mypy: ignore-errors
"""Writes 1 GiB to stdout."""
block = b"x" * (1 << 20)
for _ in range(1024):
    os.write(1, block)
os.write(2, b"REACHED 1 GiB of output\n")
