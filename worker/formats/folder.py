"""An operator's formats: a folder of ``NAME.json``, each a JSON Schema. The only reading of it."""

from __future__ import annotations

from pathlib import Path

from runyard.protocols.formats import (
    BUILTIN,
    NAME,
    SCHEMA,
    SCHEMA_BYTES,
    Format,
    FormatRefused,
    schema_text,
)
from runyard.worker.formats.strictjson import NotJson, parse

MOST_FORMATS = 58
"""With the built-in ones, as many as a worker's greeting has room for."""


class FormatsUnusable(Exception):
    """A folder of formats cannot be used; the text names the file and says why."""


def load_formats(folder: Path) -> dict[str, Format]:
    """Read and check each ``NAME.json`` of a folder; call it again to read it anew.

    It reads files and imports the validating library: at start, or in a thread.

    Raises:
        FormatsUnusable: the folder or a file of it cannot be used.
    """
    try:
        files = sorted(each for each in folder.iterdir() if each.suffix == ".json")
    except OSError as error:
        raise FormatsUnusable(f"{folder}: {error.strerror}") from None
    if len(files) > MOST_FORMATS:
        raise FormatsUnusable(f"{folder}: {len(files)} formats, at most {MOST_FORMATS} are allowed")
    return {each.stem: _load(each) for each in files}


def _load(file: Path) -> Format:
    if not NAME.fullmatch(file.stem):
        allowed = "a name must be lower-case letters, digits, '_', '.', '-' (at most 32)"
        raise FormatsUnusable(f"{file}: {allowed}")
    if file.stem in BUILTIN or file.stem == SCHEMA:
        raise FormatsUnusable(f"{file}: {file.stem} is a name of our own; rename the file")
    try:
        with file.open("rb") as opened:
            data = opened.read(2 * SCHEMA_BYTES + 1)
    except OSError as error:
        raise FormatsUnusable(f"{file}: {error.strerror}") from None
    if len(data) > 2 * SCHEMA_BYTES:
        raise FormatsUnusable(f"{file}: larger than {2 * SCHEMA_BYTES} bytes")
    try:
        text = schema_text(parse(data, finite=True))
    except NotJson as error:
        first = error.problems[0]
        raise FormatsUnusable(f"{file}: {first.path}: {first.message}") from None
    except FormatRefused as error:
        raise FormatsUnusable(f"{file}: {error}") from None
    return _checked(file, Format(file.stem, text))


def _checked(file: Path, wanted: Format) -> Format:
    from runyard.worker.formats.schemas import faults  # 100 ms, and only where there are files

    for first in faults(wanted.schema or ""):
        raise FormatsUnusable(f"{file}: {first.path}: {first.message}")
    return wanted
