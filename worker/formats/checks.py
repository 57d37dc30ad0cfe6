"""Which check belongs to which format: pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from runyard.protocols.formats import Format
from runyard.worker.formats import comics, schemas
from runyard.worker.formats.jsonlines import json_lines
from runyard.worker.formats.strictjson import NotJson, parse, text_of
from runyard.worker.formats.verdicts import Problem, Verdict, failure, verdict_of


def _any(value: Any) -> Iterator[Problem]:
    yield from ()


def _text(output: bytes) -> Iterator[Problem]:
    try:
        output.decode()
    except UnicodeDecodeError:
        try:
            text_of(output)
        except NotJson as error:
            yield from error.problems


def _of_value(check: Callable[[Any], Iterable[Problem]]) -> Callable[[bytes], Iterator[Problem]]:
    def whole(output: bytes) -> Iterator[Problem]:
        try:
            value = parse(output)
        except NotJson as error:
            yield from error.problems
            return
        yield from check(value)

    return whole


CHECKS: dict[str, Callable[[bytes], Iterator[Problem]]] = {
    "json": _of_value(_any),
    "json_lines": json_lines,
    "text": _text,
    "comic_home": _of_value(comics.home),
    "comic_episodes": _of_value(comics.episodes),
    "comic_images": _of_value(comics.images),
}


def check(wanted: Format, output: bytes) -> Verdict:
    """Check an output; a schema that cannot be used is a failure with the schema's problems."""
    if wanted.schema is None:
        of_name = CHECKS.get(wanted.name)
        if of_name is None:
            return failure(wanted.name, f"there is no format {wanted.name!r} here")
        return verdict_of(wanted.name, of_name(output))
    wrong = check_schema(wanted)
    if not wrong.ok:
        first = wrong.problems[0]
        why = f"the schema cannot be used: {first.path}: {first.message}"
        return failure(wanted.name, why)
    return verdict_of(wanted.name, schemas.problems(wanted.schema, output))


def check_schema(wanted: Format) -> Verdict:
    """Check a format's schema itself; the problems' paths are the schema's."""
    return verdict_of(wanted.name, schemas.faults(wanted.schema or ""))
