"""What the three ways to ask a proxy have in common: bytes in, a question or an end out. Pure."""

from __future__ import annotations

from typing import Protocol

from attrs import frozen

from runyard.worker.network.failures import Unreached
from runyard.worker.network.framing import MOST_READ
from runyard.worker.network.targets import Target


class Filter(Protocol):
    """What passes in one direction while bytes are relayed."""

    def feed(self, data: bytes) -> bytes:
        """Give what passes of some bytes.

        Raises:
            Malformed: they cannot follow what came before.
        """

    def room(self) -> int:
        """Give how many bytes may come at once next, so that their reading takes no long time."""


class Everything:
    """Passes all: a tunnel."""

    def feed(self, data: bytes) -> bytes:
        """Give the bytes as they are."""
        return data

    def room(self) -> int:
        """Give how many bytes may come at once: what is not looked at costs little."""
        return MOST_READ


@frozen
class Ask:
    """What a task wants: a connection, and how the two are joined then.

    Attributes:
        opened: What the task is told when the connection stands.
        first: What the target is sent first, unfiltered.
        rest: What the task has already sent behind its question.
        up: What passes from the task to the target.
        down: What passes back.
        tunnel: Whether either side may end its direction and the other goes on.
    """

    target: Target
    opened: bytes
    first: bytes
    rest: bytes
    up: Filter
    down: Filter
    tunnel: bool = True


@frozen
class Ended:
    """A question that is answered without a connection."""

    answer: bytes


@frozen
class Reply:
    """What the task is told while it asks, and the step that it has asked for already."""

    answer: bytes
    then: Ask | Ended | None


Step = Ask | Ended | Reply | None


class Dialect(Protocol):
    """Reads what a task asks, from bytes as they come."""

    def feed(self, data: bytes) -> Step:
        """Take bytes; None where more are needed. It is asked no more after Ask or Ended."""

    def failed(self, error: Unreached) -> bytes:
        """Say that what was asked was refused or not reached."""
