"""What can go wrong on a link."""

from __future__ import annotations


class ProtocolError(Exception):
    """A peer broke the protocol; the text says how and is fit for a log and for the peer."""


class LinkLost(Exception):
    """The link to a worker ended while an attempt was on it."""


class Refused(Exception):
    """The worker did not take an attempt (no slot, no such runtime, draining)."""
