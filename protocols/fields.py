"""The kinds of fields that messages have, as attrs fields whose validators know no mercy."""

from __future__ import annotations

from typing import Any

import attrs
from attrs import field
from attrs import validators as check


def _short(most: int) -> Any:
    return check.and_(check.instance_of(str), check.max_len(most))


def text(most: int, **more: Any) -> Any:
    """A text of at most so many characters."""
    return field(validator=_short(most), **more)


def optional_text(most: int) -> Any:
    """The same, or None, which is the default."""
    return field(default=None, validator=check.optional(_short(most)))


def _is_number(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{attribute.name} must be a number")


def whole(low: int, high: int, **more: Any) -> Any:
    """A whole number in a range."""
    tests = [check.instance_of(int), _is_number, check.ge(low), check.le(high)]
    return field(validator=tests, **more)


def seconds(most: float, **more: Any) -> Any:
    """A number of seconds, from 0."""
    return field(validator=[_is_number, check.ge(0), check.le(most)], **more)


def listed(member: Any, most: int) -> Any:
    """A list of at most so many members of one type; empty by default."""
    tests = check.and_(check.instance_of(list), check.max_len(most))
    return field(factory=list, validator=check.deep_iterable(check.instance_of(member), tests))


def flag(default: bool = False) -> Any:
    """A truth value."""
    return field(default=default, validator=check.instance_of(bool))


def payload(most: int, *, later: bool = False) -> Any:
    """Bytes that follow the header raw; empty by default.

    One that came `later` than its verb stands last, and where it is empty it does not travel: a
    peer that does not know it takes the message all the same.
    """
    return field(default=b"", metadata={"payload": most, "later": later})
