"""Texts of others: lists of them as bytes, each ended by NUL; and one as a log may show it."""

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


def one_line(text: str) -> str:
    """Give a text as a log may show it: what is not printable, line ends first, is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
