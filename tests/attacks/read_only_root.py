# mypy: ignore-errors
"""Writes where nothing may be written."""
for folder in ("/", "/usr", "/usr/bin", "/etc", "/lib", "/dev", "/proc", "/sys", "/root", "/opt", os.path.dirname(os.__file__),
               os.path.dirname(sys.executable), sys.prefix):
    path = os.path.join(folder, "ry_written")
    attempt(path, write, path, b"x", os.O_WRONLY | os.O_CREAT)
    attempt("folder in " + folder, os.mkdir, path + "_folder")
for path in (os.__file__, sys.executable, "/etc/passwd", "/etc/ld.so.cache"):
    attempt(path, os.open, path, os.O_WRONLY)
    attempt("mode of " + path, os.chmod, path, 0o777)
