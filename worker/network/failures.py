"""Why a target was not reached."""

from __future__ import annotations

from enum import Enum


class Why(Enum):
    """The kinds of failure, each with its HTTP status and its reply code of SOCKS5 (RFC 1928)."""

    REFUSED = ("403 Forbidden", 2)
    NO_NETWORK = ("502 Bad Gateway", 3)
    NO_HOST = ("502 Bad Gateway", 4)
    NO_LISTENER = ("502 Bad Gateway", 5)
    TIMEOUT = ("504 Gateway Timeout", 4)
    FAILED = ("502 Bad Gateway", 1)

    @property
    def status(self) -> str:
        """The status of an HTTP answer, with its reason phrase."""
        return self.value[0]

    @property
    def code(self) -> int:
        """The reply code of SOCKS5."""
        return self.value[1]


class Unreached(Exception):
    """A target was refused or could not be connected to; its text says why, in one line."""

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why = why
        self.text = text
