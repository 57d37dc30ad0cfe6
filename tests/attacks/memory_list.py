# mypy: ignore-errors
"""Takes memory for good, 16 MiB a step."""
taken = []
for step in range(120):
    taken.append(b"\1" * (16 << 20))
reached("took", step * 16, "MiB")
