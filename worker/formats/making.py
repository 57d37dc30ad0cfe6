"""The checker as a worker uses it: real children, bounds that belong together."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from runyard.worker.formats.checker import WALL_S, Checker
from runyard.worker.formats.confine import Bounds
from runyard.worker.formats.process import CheckingChild
from runyard.worker.sandbox.runtimes import Account


def make_checker(
    reactor: Any, account: Account | None, *, wall_s: float = WALL_S, children: int = 2
) -> Checker:
    """Make a checker whose children become the account, or stay this user where there is none.

    The processor's limit is above the clock's: it holds a child where the worker itself is frozen.
    """
    ids = (None, None) if account is None else (account.uid, account.gid)
    bounds = Bounds(math.ceil(wall_s) + 1, uid=ids[0], gid=ids[1])
    start = partial(CheckingChild, reactor, bounds)
    return Checker(reactor, start, wall_s=wall_s, children=children)
