"""What can go wrong on a link."""

from __future__ import annotations

from enum import StrEnum


class ProtocolError(Exception):
    """A peer broke the protocol; the text says how and is fit for a log and for the peer."""


class Loss(StrEnum):
    """What took an attempt away."""

    DEATH = "death"  # its worker's process is gone, or was never heard of again
    LINK = "link"  # the process lives, but does not have it any more


class LinkLost(Exception):
    """The link to a worker ended while an attempt was on it.

    Attributes:
        loss: What took it.
        others: How many other attempts went with it.
    """

    def __init__(self, text: str, loss: Loss = Loss.LINK, others: int = 0) -> None:
        super().__init__(text)
        self.loss = loss
        self.others = others


class Refused(Exception):
    """The worker did not take an attempt (no slot, no such runtime, draining)."""


class Undelivered(Refused):
    """An attempt was under way when the link ended, and the worker has never heard of it."""
