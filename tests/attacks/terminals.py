# mypy: ignore-errors
"""Looks for a terminal to type into, or to take."""
import fcntl, pty, termios
attempt("/dev/tty", os.open, "/dev/tty", os.O_RDWR)
attempt("/dev/console", os.open, "/dev/console", os.O_RDWR | os.O_NOCTTY)
for descriptor in (0, 1, 2):
    attempt(f"typing into {descriptor}", fcntl.ioctl, descriptor, termios.TIOCSTI, b"x")
    attempt(f"taking {descriptor}", fcntl.ioctl, descriptor, termios.TIOCSCTTY, 0)
    attempt(f"name of {descriptor}", os.ttyname, descriptor)
