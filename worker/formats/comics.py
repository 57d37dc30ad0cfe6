"""The three outputs of a comic site's crawler, exactly: pure.

Digits are ASCII digits, and a text must match as a whole: no newline may hide behind its end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from runyard.protocols.paths import path_of
from runyard.worker.formats.kinds import brief
from runyard.worker.formats.verdicts import Problem

HOME = re.compile(r"https://comicbus\.com/html/[0-9]+\.html")
EPISODE = re.compile(r"https://comicbus\.live/online/a-[0-9]+\.html\?ch=[0-9]+")
IMAGE = re.compile(
    r"https://img[0-9]+\.8comic\.com/[0-9]+/[0-9]+/[0-9]+/([0-9]{1,9})_[A-Za-z0-9]+\.jpg"
)


def home(value: Any) -> Iterator[Problem]:
    """Check the address of a comic's page."""
    yield from _matches("$", value, HOME, "https://comicbus.com/html/N.html")


def episodes(value: Any) -> Iterator[Problem]:
    """Check a non-empty object of episodes: each name's value is the address of its page."""
    if not isinstance(value, dict):
        yield Problem("$", f"must be an object of episodes, is {brief(value)}")
        return
    if not value:
        yield Problem("$", "must hold at least one episode")
    for name, address in value.items():
        path = path_of([name])
        yield from _matches(path, address, EPISODE, "https://comicbus.live/online/a-N.html?ch=N")


def images(value: Any) -> Iterator[Problem]:
    """Check an episode's pictures: as many as `page_num` says, their pages rising by one."""
    if not isinstance(value, dict):
        yield Problem("$", f'must be an object of "page_num" and "image_urls", is {brief(value)}')
        return
    for name in value:
        if name not in {"page_num", "image_urls"}:
            yield Problem(path_of([name]), 'only "page_num" and "image_urls" are allowed')
    count: Any = value.get("page_num")
    if not _is_whole(count) or count < 1:
        yield Problem(
            "$.page_num", f"must be a whole number from 1, is {_given(value, 'page_num')}"
        )
    urls = value.get("image_urls")
    if not isinstance(urls, list):
        yield Problem("$.image_urls", f"must be an array, is {_given(value, 'image_urls')}")
        return
    if _is_whole(count) and count >= 1 and len(urls) != count:
        yield Problem(
            "$.image_urls", f"must hold page_num = {brief(count)} addresses, holds {len(urls)}"
        )
    yield from _pages(urls)


def _pages(urls: list[Any]) -> Iterator[Problem]:
    due: int | None = None
    for at, url in enumerate(urls):
        path = f"$.image_urls[{at}]"
        found = IMAGE.fullmatch(url) if isinstance(url, str) else None
        if found is None:
            form = "https://imgN.8comic.com/N/N/N/PAGE_X.jpg"
            yield Problem(path, f"must be {form}, is {brief(url)}")
            due = None if due is None else due + 1
            continue
        page = int(found[1])
        if due is not None and page != due:
            yield Problem(path, f"must be page {due}, one after the one before, is page {page}")
        due = page + 1


def _matches(path: str, value: Any, form: re.Pattern[str], shown: str) -> Iterator[Problem]:
    if not isinstance(value, str) or form.fullmatch(value) is None:
        yield Problem(path, f"must be {shown} (N: digits), is {brief(value)}")


def _is_whole(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


def _given(value: dict[str, Any], name: str) -> str:
    return brief(value[name]) if name in value else "missing"
