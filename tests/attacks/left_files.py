# mypy: ignore-errors
"""Leaves files for the next task wherever it can."""
left = 0
for folder in {os.getcwd(), os.environ.get("TMPDIR", "/tmp"), "/tmp", "/dev/shm", "/var/tmp", "/run", "/", "/dev/mqueue",
               os.path.expanduser("~"), "/run/lock", "/var/lock"}:
    for name in ("ry_left", ".ry_left", "sitecustomize.py", "usercustomize.py", "json.py"):
        try:
            write(os.path.join(folder, name), b"raise SystemExit('LEFT')\n", os.O_WRONLY | os.O_CREAT)
            left += 1
        except OSError:
            pass
    try:
        os.mkdir(os.path.join(folder, "ry_folder"), 0)
        os.chmod(folder, 0)
    except OSError:
        pass
say("left", left)
