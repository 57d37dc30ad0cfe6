"""The names of tasks' files, and how they travel."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.protocols.errors import ProtocolError
from runyard.protocols.files import (
    MOST_FILES,
    MOST_LEFT_OUT,
    File,
    Files,
    clash,
    complaint,
    pack,
    unpack,
)
from runyard.protocols.limits import FILES_BYTES

GOOD = [
    "a", "a.txt", "data/b.bin", "漫畫/ü", "-rf", ".hidden", "a b", "...", "a\\b", "%2e%2e", "x\ny",
    "d/main.py", "p" * 255, "/".join("abcdefgh"), "/".join(["p" * 203] * 5),
]  # fmt: skip
BAD = [
    ("", "no part that is empty"), ("/a", "relative"), ("a//b", "empty"), ("a/", "empty"),
    ("..", "'..'"), ("a/../b", "'..'"), ("./a", "'.'"), ("a\0", "NUL"), ("main.py", "main.py"),
    ("main.py/x", "main.py"), ("p" * 256, "255"), ("é" * 128, "255"),
    ("/".join("abcdefghi"), "8 parts"), ("/".join(["p" * 255] * 5), "1024"),
]  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_a_plain_relative_name_is_good(name: str) -> None:
    assert complaint(name) is None


@pytest.mark.parametrize(("name", "why"), BAD)
def test_any_other_is_named_with_what_is_allowed(name: str, why: str) -> None:
    assert why in str(complaint(name))
    with pytest.raises(ProtocolError):
        unpack(pack([File(name, b"x")]))


@pytest.mark.parametrize(
    ("names", "at"),
    [(["a", "b", "a"], 2), (["a", "a/b"], 1), (["a/b/c", "a/b"], 1), (["x", "a/b", "a"], 2)],
)
def test_a_name_given_twice_or_as_a_folder_too_is_found(names: list[str], at: int) -> None:
    assert clash(names) is not None
    assert clash(names)[0] == at  # type: ignore[index]
    assert clash([*names[:at], "other"]) is None
    with pytest.raises(ProtocolError):
        unpack(pack(File(name, b"") for name in names))


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(
    lambda name: complaint(name) is None and "/" not in name
)


@given(st.dictionaries(names, st.binary(max_size=50), max_size=5), st.lists(names, max_size=5))
def test_what_is_packed_comes_back(content: dict[str, bytes], left_out: list[str]) -> None:
    files = Files(tuple(File(*each) for each in content.items()), tuple(left_out))
    assert unpack(pack(files.files, files.left_out)) == files


@given(st.binary(max_size=60) | st.lists(st.sampled_from([b"a", b"\0", b"1", b"-", b"/"])))
def test_no_bytes_do_more_than_be_refused(packed: Any) -> None:
    data = packed if isinstance(packed, bytes) else b"".join(packed)
    try:
        files = unpack(data)
    except ProtocolError:
        return
    assert pack(files.files, files.left_out) == data or b"\x000" in data


FORGED = [
    b"a", b"a\0", b"a\x001", b"a\x002\0x", b"a\0-1\0", b"a\0+1\0x", b"a\0 1\0x", b"a\0\0x",
    b"a\x001_0\0" + b"x" * 10, "a\0²\0xx".encode(), b"\xff\x001\0x", b"a" * 5000 + b"\x001\0x",
    b"a\x00" + b"9" * 40 + b"\0", b"x\0-\0" * (MOST_LEFT_OUT + 1),
    b"".join(b"f%d\x000\0" % n for n in range(MOST_FILES + 1)),
]  # fmt: skip


@pytest.mark.parametrize("packed", FORGED, ids=range(len(FORGED)))
def test_forged_sizes_and_names_are_refused(packed: bytes) -> None:
    with pytest.raises(ProtocolError):
        unpack(packed)


def test_they_are_bounded_together() -> None:
    half = bytes(FILES_BYTES // 2)
    assert len(unpack(pack([File("a", half), File("b", half)])).files) == 2
    with pytest.raises(ProtocolError, match="together"):
        unpack(pack([File("a", half), File("b", half), File("c", b"x")]))
