# mypy: ignore-errors
"""Opens sockets that see or make packets of others."""
import socket
for label, family, kind, protocol in (
    ("packet", 17, socket.SOCK_RAW, 0x300), ("raw icmp", 2, socket.SOCK_RAW, 1), ("raw", 2, socket.SOCK_RAW, 255),
    ("raw six", 10, socket.SOCK_RAW, 58), ("vsock", 40, 1, 0), ("algorithm", 38, 5, 0), ("bluetooth", 31, 3, 1),
    ("can", 29, 3, 1), ("xdp", 44, 3, 0), ("key", 15, 3, 2), ("tipc", 30, 5, 0), ("rds", 21, 5, 0),
    ("netfilter", 16, 3, 12), ("audit", 16, 3, 9), ("kernel events", 16, 3, 15),
):
    def make(family=family, kind=kind, protocol=protocol):
        socket.socket(family, kind, protocol).close()
        return family
    try:
        socket.socket(family, kind, protocol).close()
    except OSError as error:
        stopped(label, error)
    else:
        reached(label)
