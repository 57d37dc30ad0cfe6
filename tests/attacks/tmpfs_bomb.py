# mypy: ignore-errors
"""Fills every place that it can write."""
places = [p for p in ("/tmp", "/dev/shm", "/var/tmp", "/run", "/dev", "/", os.getcwd()) if os.access(p, os.W_OK)]
block, total = b"\1" * (1 << 20), 0
for place in places:
    for number in range(100):
        try:
            with open(f"{place}/ry_fill{number}", "wb", buffering=0) as file:
                for _ in range(8):
                    total += file.write(block)
        except OSError as error:
            stopped("in", place, error)
            break
    if total > 400 << 20:
        reached("wrote", total >> 20, "MiB")
        break
