"""Inside an outer box: starts a sandbox and runs attacks in it, a line of JSON each.

``attack_main.py MODULE:FACTORY LIST NAME...`` where LIST is ``MODULE:TUPLE`` of Attacks, and no
names are all of them. The factory is a SubjectFactory.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import attrs
from attack_ground import SECRET, SubjectFactory
from attack_kinds import Attack
from attack_run import Arena
from twisted.internet.defer import Deferred
from twisted.internet.task import react


def named(text: str) -> Any:
    """Give what ``MODULE:NAME`` names."""
    module, _, name = text.partition(":")
    return getattr(importlib.import_module(module), name)


async def run(reactor: Any, factory: SubjectFactory, attacks: list[Attack]) -> None:
    """Run the attacks one after the other, and print what came of each."""
    folder = Path(tempfile.mkdtemp(prefix="attacks-"))
    (folder / "state").mkdir()
    (folder / "bait").mkdir()
    subject = factory(reactor, folder / "state")
    arena = Arena(reactor, subject, folder / "bait", os.environ[SECRET])
    await arena.open()
    for attack in attacks:
        result = await arena.attack(attack)
        print(json.dumps(attrs.asdict(result)), flush=True)  # noqa: T201
    await arena.close()
    await subject.stop()


def main(reactor: Any) -> Deferred[None]:
    """Do as the command line says; a failure is printed whole."""
    factory, attacks = named(sys.argv[1]), named(sys.argv[2])
    names = sys.argv[3:]
    chosen = [each for each in attacks if not names or each.name in names]

    async def all_of_it() -> None:
        try:
            await run(reactor, factory, chosen)
        except BaseException:
            traceback.print_exc()
            raise

    work: Coroutine[Any, Any, None] = all_of_it()
    return Deferred.fromCoroutine(work)


if __name__ == "__main__":
    react(main)
