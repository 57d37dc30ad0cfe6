# mypy: ignore-errors
"""Fills shared memory that no process needs to hold: memory files."""
files = []
for step in range(40):
    files.append(os.memfd_create(f"ry{step}"))
    for _ in range(50):
        os.write(files[-1], b"\1" * (1 << 20))
reached("filled", len(files) * 50, "MiB of memory files")
