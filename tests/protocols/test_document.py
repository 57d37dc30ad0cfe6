"""docs/protocol.md says what the code does: its transcript and its table of verbs."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

import attrs
import pytest
from transcript import conversation

from runyard.protocols.limits import MIB
from runyard.protocols.verbs import FROM_CONTROLLER, FROM_WORKER, PAYLOADS, SINCE, VERBS

DOCUMENT = Path(__file__).parents[2] / "docs" / "protocol.md"
BLOCK = re.compile(r"(?<=<!-- transcript -->\n```\n).*?(?=```\n<!-- end -->)", re.DOTALL)
ROW = re.compile(r"^\| (`\w+`(?:, `\w+`)*) \| (.*) \|$", re.MULTILINE)


def test_the_transcript_is_what_the_two_sides_really_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare; with RUNYARD_WRITE=1, write it into the document first."""
    monkeypatch.setattr("runyard.worker.link.new_token", lambda: "7be2361fc8a9f3f8e16951ecb52672ea")
    monkeypatch.setattr(
        "runyard.sched.connection.new_token", lambda: "d956ab7674a99e510e2de44a58783a94"
    )
    said = "".join(f"{line}\n" for line in conversation())
    text = DOCUMENT.read_text()
    if os.environ.get("RUNYARD_WRITE") == "1":
        text = BLOCK.sub(lambda _: said, text)
        DOCUMENT.write_text(text)
    found = BLOCK.search(text)
    assert found is not None, "the marks of the transcript are gone"
    lines = found.group().splitlines(), said.splitlines()
    difference = "\n".join(difflib.unified_diff(*lines, "docs/protocol.md", "a run", lineterm=""))
    assert not difference, f"RUNYARD_WRITE=1 writes it anew:\n{difference}"


def rows() -> dict[str, list[str]]:
    """Give the table's cells by verb: sender, version, fields, payloads, meaning."""
    found = {}
    for verbs, cells in ROW.findall(DOCUMENT.read_text()):
        for verb in re.findall(r"\w+", verbs):
            assert verb not in found
            found[verb] = [cell.strip() for cell in cells.split("|")]
    return found


def test_the_table_has_every_verb_and_no_other() -> None:
    assert set(rows()) == {*VERBS, "Data"}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_s_row_is_as_the_code_has_it(verb: str) -> None:
    sender, since, fields, payloads, meaning = rows()[verb]
    senders = {"scheduler": verb in FROM_CONTROLLER, "worker": verb in FROM_WORKER}
    expected = "both" if all(senders.values()) else next(s for s, sends in senders.items() if sends)
    assert sender == expected
    assert since == str(SINCE.get(verb, 1))
    names = [name for name in attrs.fields_dict(VERBS[verb]) if name not in PAYLOADS[verb]]
    assert sorted(fields.strip("`").split()) == sorted(names)
    assert payloads == ", ".join(f"{name} ≤ {_size(n)}" for name, n in PAYLOADS[verb].items())
    assert meaning


def _size(count: int) -> str:
    return f"{count // MIB} MiB" if count >= MIB else f"{count // 1024} KiB"
