"""Lists of texts as bytes: each ends with NUL, which none of them can hold."""

from __future__ import annotations

from collections.abc import Iterable

from runyard.protocols.errors import ProtocolError


def join_texts(texts: Iterable[str]) -> bytes:
    """Give the texts in UTF-8, each with a NUL behind it."""
    return b"".join(text.encode() + b"\0" for text in texts)


def split_texts(data: bytes) -> tuple[str, ...]:
    """Undo `join_texts`.

    Raises:
        ProtocolError: the last text has no end, or one is not UTF-8.
    """
    *texts, rest = data.split(b"\0")
    if rest:
        raise ProtocolError("a list of texts must end with NUL")
    try:
        return tuple(text.decode() for text in texts)
    except UnicodeDecodeError:
        raise ProtocolError("a text is not UTF-8") from None
