# mypy: ignore-errors
"""Makes and opens devices."""
import stat
for label, kind, number in (("disk", stat.S_IFBLK, (254, 0)), ("other disk", stat.S_IFBLK, (8, 0)), ("memory", stat.S_IFCHR, (1, 1)),
                            ("null", stat.S_IFCHR, (1, 3)), ("kernel log", stat.S_IFCHR, (1, 11))):
    path = "node_" + label.replace(" ", "_")
    if attempt("make " + label, lambda: os.mknod(path, kind | 0o666, os.makedev(*number)) or True):
        attempt("open " + label, os.open, path, os.O_RDONLY)
for name in sorted(os.listdir("/dev")):
    path = f"/dev/{name}"
    if stat.S_ISBLK(os.stat(path).st_mode) if os.path.exists(path) else False:
        attempt(path, os.open, path, os.O_RDONLY)
