"""The few packets that a jail's processes read and write, without the module `json`.

They are the JSON of worker/sandbox/slot.py: objects of one level, written by `json.dumps` there.
Standard library only.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_PACKET = 4 * 1024
MOST_RIGHTS = 8
INT = 4
SOL_SOCKET = 1  # asm-generic/socket.h
SCM_RIGHTS = 1  # linux/socket.h
CMSG_HEADER = 16  # linux/socket.h: size_t, two ints
MSG_CMSG_CLOEXEC = 0x40000000


def receive(channel: Any) -> tuple[bytes, list[int]]:
    """Read a packet with its descriptors; an empty one when the other side is gone."""
    room = CMSG_HEADER + MOST_RIGHTS * INT
    try:
        data, ancillary, _, _ = channel.recvmsg(MAX_PACKET, room, MSG_CMSG_CLOEXEC)
    except OSError:  # ECONNRESET where packets of ours were still unread
        return b"", []
    if not ancillary or ancillary[0][1] != SCM_RIGHTS:
        return data, []
    raw = ancillary[0][2]  # all that were sent with it are in one
    return data, memoryview(raw)[: len(raw) // INT * INT].cast("i").tolist()


def verb_of(packet: bytes) -> tuple[bytes, bytes]:
    """Split ``{"verb": value}`` into its verb and its value, both as they stand there."""
    verb, _, value = packet[1:-1].partition(b":")
    return verb.strip(b' "'), value.strip()


def pass_on(channel: Any, message: bytes, descriptor: int) -> None:
    """Send a message with a descriptor. Raises OSError."""
    from sys import byteorder

    rights = (SOL_SOCKET, SCM_RIGHTS, descriptor.to_bytes(INT, byteorder))
    channel.sendmsg([message], [rights])


def send(channel: Any, **fields: float | str | bool) -> None:
    """Send a packet of one level; one that is gone is noticed when we read."""
    text = ", ".join(f'"{name}": {written(value)}' for name, value in fields.items())
    try:
        channel.send(f"{{{text}}}".encode("ascii"))
    except OSError:
        return


def written(value: float | str | bool) -> str:
    """Write a value as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(escaped(letter) for letter in value[:500]) + '"'
    return repr(value)


def escaped(letter: str) -> str:
    """Write one letter of a JSON string."""
    if letter in '"\\':
        return "\\" + letter
    return letter if " " <= letter <= "~" else f"\\u{ord(letter) & 0xFFFF:04x}"
