# mypy: ignore-errors
"""Reaches them by symbolic and hard links."""
host = os.environ.get("HOST_FILE", "/etc/shadow")
for number, target in enumerate((host, "/etc/shadow", f"/proc/1/root{host}", f"../../../../../..{host}", "/proc/self/root/root")):
    os.symlink(target, f"link{number}")
    attempt(target, lambda: os.listdir(f"link{number}") if os.path.isdir(f"link{number}") else read(f"link{number}"))
    attempt("hard " + target, os.link, target, f"hard{number}")
