# mypy: ignore-errors
"""Changes the network it is in: addresses, routes, filters."""
import fcntl, socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
    attempt("address", fcntl.ioctl, made, 0x8916, struct.pack("16sH2s4s8x", b"lo", 2, b"\0\0", b"\x7f\0\0\2"))
    attempt("down", fcntl.ioctl, made, 0x8914, struct.pack("16sH22x", b"lo", 0))
    attempt("raw option", made.setsockopt, socket.SOL_SOCKET, 33, 1)
    attempt("mark", made.setsockopt, socket.SOL_SOCKET, 36, 1)
