# mypy: ignore-errors
"""Maps and touches 2 GiB."""
import mmap
area = mmap.mmap(-1, 2 << 30)
for offset in range(0, len(area), 4096):
    area[offset] = 1
reached("took 2 GiB")
