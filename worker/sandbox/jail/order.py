"""What a task's child is told when its task comes: packed by the worker, read in the jail.

Texts and numbers, each ended by a NUL: neither an argument nor a variable can hold one, and reading
them needs no module that an interpreter has not loaded by itself. Pure; standard library only.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NUL = b"\0"


class Order:
    """What to run and within which limits.

    Attributes:
        wall_s: Seconds of wall-clock time that it may run.
        lease_s: Seconds after which it is ended unless its lease is renewed.
        disk_bytes: Of all that it may keep in files.
        network: Whether it gets a listening socket for its proxy.
        rlimits: (number of the limit, soft, hard) of each.
        exec_argv: A command to execute in place of this interpreter; empty for none.
        args: What follows the program's name in ``sys.argv``.
        env: ``NAME=VALUE`` of each variable.
    """

    __slots__ = (
        "args", "disk_bytes", "env", "exec_argv", "lease_s", "network", "rlimits", "wall_s",
    )  # fmt: skip

    def __init__(
        self,
        numbers: list[bytes],
        rlimits: list[tuple[int, int, int]],
        exec_argv: list[bytes],
        args: list[bytes],
        env: list[bytes],
    ) -> None:
        self.wall_s, self.lease_s = float(numbers[0]), float(numbers[1])
        self.disk_bytes, self.network = int(numbers[2]), numbers[3] == b"1"
        self.rlimits, self.exec_argv, self.args, self.env = rlimits, exec_argv, args, env


def pack(
    wall_s: float,
    lease_s: float,
    disk_bytes: int,
    network: bool,
    rlimits: Iterable[tuple[int, int, int]],
    exec_argv: Sequence[str],
    args: Sequence[str],
    env: Mapping[str, str],
) -> bytes:
    """Pack an order; texts hold no NUL."""
    limits = [f"{number} {soft} {hard}" for number, soft, hard in rlimits]
    parts = [repr(float(wall_s)), repr(float(lease_s)), str(disk_bytes), str(int(network))]
    for texts in (limits, exec_argv, args, [f"{name}={value}" for name, value in env.items()]):
        parts += [str(len(texts)), *texts]
    return b"".join(part.encode("utf-8", "surrogateescape") + NUL for part in parts)


def unpack(packed: bytes) -> Order:
    """Read an order.

    Raises:
        ValueError: it is none.
    """
    parts = packed.split(NUL)
    lists = []
    at = 4
    for _ in range(4):
        count = int(parts[at])
        lists.append(parts[at + 1 : at + 1 + count])
        at += 1 + count
    if len(parts) != at + 1:
        raise ValueError("the order has another length than it says")
    limits = []
    for text in lists[0]:
        number, soft, hard = text.split()
        limits.append((int(number), int(soft), int(hard)))
    return Order(parts[:4], limits, *lists[1:])
