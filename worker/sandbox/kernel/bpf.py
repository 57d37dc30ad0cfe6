"""Classic BPF put together from blocks: pure.

A block is a list of instructions that ends in a return on every way through it, so blocks nest
without labels. Sources: include/uapi/linux/bpf_common.h and filter.h (struct sock_filter), and for
the data that a program looks at, struct seccomp_data of include/uapi/linux/seccomp.h:
int nr, __u32 arch, __u64 instruction_pointer, __u64 args[6].
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Instruction = tuple[int, int, int, int]
    """Code, distance to jump when true, distance when false, constant."""
    Block = list[Instruction]

LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K
ALWAYS = 0x05  # BPF_JMP | BPF_JA
EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
MAX_JUMP = 255
MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS
NUMBER_AT = 0
ARCH_AT = 4
ARGUMENTS_AT = 16


def result(value: int) -> Block:
    """Return a constant."""
    return [(RETURN, 0, 0, value)]


def load(offset: int, then: Block) -> Block:
    """Load 32 bits of the data, then go on."""
    return [(LOAD, 0, 0, offset), *then]


def argument(index: int, then: Block) -> Block:
    """Load the low half of an argument (both our machines are little-endian), then go on.

    Right for arguments that the kernel itself reads as 32 bits, and those alone.
    """
    return load(ARGUMENTS_AT + 8 * index, then)


def masked(mask: int, then: Block) -> Block:
    """Keep these bits of what was loaded, then go on."""
    return [(AND, 0, 0, mask), *then]


def if_any_bit(mask: int, then: Block, otherwise: Block) -> Block:
    """Go to `then` when one of the bits is set. Raises ValueError when that is too far."""
    return [(ANY_BIT, _near(len(otherwise)), 0, mask), *otherwise, *then]


def if_one_of(values: Sequence[int], then: Block, otherwise: Block) -> Block:
    """Go to `then` when what was loaded is one of these. Raises ValueError when that is too far."""
    last = len(values) - 1
    tests = [
        (EQUAL, _near(last - index + len(otherwise)), 0, value & 0xFFFFFFFF)
        for index, value in enumerate(values)
    ]
    return [*tests, *otherwise, *then]


def search(steps: Sequence[tuple[int, Block]]) -> Block:
    """Find by halves the last step that starts at or below what was loaded.

    The first step starts at 0 and the starts rise. A way through takes as many tests as the number
    of steps has binary digits.
    """
    if len(steps) == 1:
        return steps[0][1]
    middle = len(steps) // 2
    below, above = search(steps[:middle]), search(steps[middle:])
    start = steps[middle][0]
    if len(below) <= MAX_JUMP:
        return [(AT_LEAST, len(below), 0, start), *below, *above]
    return [(AT_LEAST, 0, 1, start), (ALWAYS, 0, 0, len(below)), *below, *above]


def encode(block: Iterable[Instruction]) -> bytes:
    """Give the bytes of an array of struct sock_filter. Raises ValueError when it is too long."""
    data = b"".join(struct.pack("=HBBI", *each) for each in block)
    if len(data) > 8 * MAX_INSTRUCTIONS:
        raise ValueError(f"{len(data) // 8} instructions, {MAX_INSTRUCTIONS} are allowed")
    return data


def _near(distance: int) -> int:
    if distance > MAX_JUMP:
        raise ValueError(f"a jump of {distance} instructions, {MAX_JUMP} are allowed")
    return distance
