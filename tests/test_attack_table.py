"""docs/security.md says of the attacks what the tests say.

``RUNYARD_WRITE=1 .venv/bin/pytest tests/test_attack_table.py`` writes the table anew.
"""

from __future__ import annotations

import os
from pathlib import Path

from attack_kinds import table
from attack_list import ATTACKS

DOCUMENT = Path(__file__).parent.parent / "docs" / "security.md"
BEGIN, END = "<!-- attacks -->\n", "<!-- end of attacks -->\n"


def test_the_document_has_every_attack() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    told, found, after = rest.partition(END)
    assert found
    wanted = f"\n{table(ATTACKS)}\n"
    if os.environ.get("RUNYARD_WRITE"):
        DOCUMENT.write_text(f"{before}{BEGIN}{wanted}{END}{after}", encoding="utf-8")
        return
    assert told == wanted
