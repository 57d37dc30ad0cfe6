# mypy: ignore-errors
"""Leaves modules that the next task would import."""
left = 0
for folder in {os.getcwd(), "/tmp", *filter(os.path.isdir, sys.path), os.environ.get("TMPDIR", "/tmp")}:
    for name in ("requests", "json", "os", "sitecustomize", "main"):
        for path in (f"{folder}/{name}.py", f"{folder}/__pycache__/{name}.cpython-{sys.version_info[0]}{sys.version_info[1]}.pyc"):
            try:
                if path != os.path.join(os.getcwd(), "main.py"):
                    write(path, b"print('POISONED')\n", os.O_WRONLY | os.O_CREAT)
                    left += 1
            except OSError:
                pass
say("left", left)
