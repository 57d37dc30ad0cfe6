# mypy: ignore-errors
"""Leaves files whose names are hard to remove, and a folder without any right."""
for name in ("-rf", "a\nb", "\x1b[2J", "ü" * 120, " ", "...", "\udcff"):
    try:
        write(name, b"x", os.O_WRONLY | os.O_CREAT)
    except OSError as error:
        stopped(ascii(name), error)
os.mkdir("shut")
write("shut/in", b"x", os.O_WRONLY | os.O_CREAT)
os.chmod("shut", 0)
os.mkfifo("fifo")
os.rename("main.py", "gone.py")
os.chmod(".", 0)
