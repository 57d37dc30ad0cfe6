"""Mappings of files that forked children find mapped."""

from __future__ import annotations

import mmap
import os

from kernels import SANDBOX, run

from runyard.worker.sandbox.jail.inheriting import LEAST, large

END = 0x7F0000000000 + LEAST


def line(rights: str, inode: int = 7, end: int = END, name: str = "/a file (deleted)") -> str:
    return f"7f0000000000-{end:x} {rights} 00001000 08:01 {inode}    {name}\n"


def test_only_large_mappings_of_files_that_are_read_are_taken() -> None:
    assert large(line("r-xp") + line("r--p", name="/b\\012c")) == [0x7F0000000000] * 2
    for other in (
        line("rw-p"),
        line("r-xs"),
        line("r--s"),
        line("r-xp", inode=0, name="[vdso]"),
        line("---p"),
        line("r-xp", end=END - mmap.PAGESIZE),
    ):
        assert large(other) == [], other


def test_an_interpreter_s_own_are_the_same_afterwards_and_have_a_page_of_their_own() -> None:
    code = f"""
sys.path.insert(0, {os.path.join(SANDBOX, "jail")!r})
import inheriting
with open('/proc/self/maps') as maps: starts = inheriting.large(maps.read())
def content():
    with open('/proc/self/mem', 'rb', buffering=0) as memory:
        for start in starts:
            memory.seek(start)
            yield memory.read(4096)
before = list(content())
inheriting.inherit()
print(bool(starts), before == list(content()))
own = {{}}
with open('/proc/self/smaps') as maps:
    for each in maps:
        first = each.split()[0]
        if '-' in first: start = int(first.split('-')[0], 16)
        if first == 'Anonymous:': own[start] = int(each.split()[1])
print(all(own[start] for start in starts))
"""
    assert run(code).split() == ["True", "True", "True"]
