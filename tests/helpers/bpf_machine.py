"""An interpreter of classic BPF as seccomp runs it, which refuses what the kernel would."""

from __future__ import annotations

import errno
import struct

ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000


def checked(program: bytes) -> list[tuple[int, int, int, int]]:
    """Read a program as the kernel's own check does: known codes, jumps inside, an end."""
    assert program
    assert len(program) % 8 == 0
    instructions = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    assert len(instructions) <= 4096
    for at, (code, true, false, k) in enumerate(instructions):
        assert code in {0x20, 0x54, 0x06, 0x05, 0x15, 0x35, 0x45}, hex(code)
        if code == 0x20:
            assert k % 4 == 0
            assert k < 64
        elif code == 0x05:
            assert at + 1 + k < len(instructions)
        elif code & 0x07 == 0x05:
            assert at + 1 + max(true, false) < len(instructions)
    assert instructions[-1][0] == 0x06
    return instructions


def execute(program: bytes, data: bytes) -> tuple[int, int]:
    """Run on a struct seccomp_data: the result and the number of instructions that it took."""
    instructions = checked(program)
    at = steps = accumulator = 0
    while True:
        code, true, false, k = instructions[at]
        steps += 1
        at += 1
        if code == 0x06:
            return k, steps
        if code == 0x20:
            accumulator = struct.unpack_from("=I", data, k)[0]
        elif code == 0x54:
            accumulator &= k
        elif code == 0x05:
            at += k
        else:
            holds = {0x15: accumulator == k, 0x35: accumulator >= k, 0x45: bool(accumulator & k)}
            at += true if holds[code] else false


def answer(program: bytes, arch: int, number: int, *arguments: int) -> str:
    """Give "allow", "kill" or an errno's name."""
    given = [each & (1 << 64) - 1 for each in (*arguments, *[0] * 6)][:6]
    data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, arch, 0, *given)
    result, _ = execute(program, data)
    if result & 0xFFFF0000 == ERRNO:
        return errno.errorcode[result & 0xFFFF]
    return {ALLOW: "allow", KILL: "kill"}[result]
