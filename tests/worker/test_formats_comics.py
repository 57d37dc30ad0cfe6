from __future__ import annotations

import json
from typing import Any

import pytest

from runyard.protocols.formats import Format
from runyard.worker.formats.checks import check

HOME = "https://comicbus.com/html/103.html"
EPISODE = "https://comicbus.live/online/a-103.html?ch=1"


def image(page: str, token: str = "x9Z") -> str:
    return f"https://img4.8comic.com/2/103/1/{page}_{token}.jpg"


def images(*urls: Any, **more: Any) -> dict[str, Any]:
    return {"page_num": len(urls), "image_urls": list(urls)} | more


def paths(name: str, value: Any) -> list[str]:
    verdict = check(Format(name), json.dumps(value).encode())
    assert all("\n" not in each.message for each in verdict.problems)
    return [each.path for each in verdict.problems]


def test_the_three_outputs_as_they_should_be() -> None:
    assert paths("comic_home", HOME) == []
    assert paths("comic_episodes", {"第1話": EPISODE, "": EPISODE}) == []
    assert paths("comic_images", images(image("001"), image("002"), image("003"))) == []


SPOILT = [
    lambda url: url + "\n", lambda url: "\n" + url, lambda url: url + " ", lambda url: url + "\0",
    lambda url: url.replace("103", "١٠٣"), lambda url: url.replace("103", "１０３"),  # noqa: RUF001
    lambda url: url.replace("103", ""), lambda url: url.replace("103", "-1"),
    lambda url: url.replace("https", "http"), lambda url: url.replace("https", "HTTPS"),
    lambda url: url.replace(".html", "xhtml"), lambda url: url.replace(".jpg", "xjpg"),
    lambda url: url.replace(".com", "xcom").replace(".live", "xlive"), lambda url: url + "?a=b",
    lambda url: url.replace("//", "//evil@"), lambda url: 1, lambda url: None, lambda url: [url],
]  # fmt: skip


@pytest.mark.parametrize("at", range(len(SPOILT)))
def test_an_address_must_match_as_a_whole(at: int) -> None:
    spoil = SPOILT[at]
    for name, url, where, put in (
        ("comic_home", HOME, "$", lambda url: url),
        ("comic_episodes", EPISODE, '$["1 話"]', lambda url: {"1 話": url}),
        ("comic_images", image("001"), "$.image_urls[0]", images),
    ):
        if spoil(url) != url:
            assert paths(name, put(spoil(url))) == [where], (name, spoil(url))


@pytest.mark.parametrize("value", [{}, [], [EPISODE], EPISODE, None, 0, {"a": EPISODE, "b": HOME}])
def test_episodes_must_be_an_object_that_holds_some(value: Any) -> None:
    assert len(paths("comic_episodes", value)) == 1


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (images(image("1"), page_num=1.0), []),
        (images(image("017"), image("018")), []),
        (images(image("9"), image("10")), []),
        (images(image("000")), []),
        ([], ["$"]),
        ({}, ["$.page_num", "$.image_urls"]),
        (images(), ["$.page_num"]),
        (images(page_num=-1), ["$.page_num"]),
        (images(image("001"), page_num=True), ["$.page_num"]),
        (images(image("001"), page_num="1"), ["$.page_num"]),
        (images(image("001"), page_num=1.5), ["$.page_num"]),
        (images(image("001"), page_num=2), ["$.image_urls"]),
        (images(image("001"), page_num=10**3000), ["$.image_urls"]),
        (images(image("001"), image_urls={}), ["$.image_urls"]),
        (images(image("001"), image_urls=None), ["$.image_urls"]),
        (images(image("001"), extra=1), ["$.extra"]),
        (images(image("001"), image("003"), image("004")), ["$.image_urls[1]"]),
        (images(image("001"), image("001")), ["$.image_urls[1]"]),
        (images(image("002"), image("001")), ["$.image_urls[1]"]),
        (images(image("001"), "x", image("003")), ["$.image_urls[1]"]),
        (images(image("001"), "x", image("004")), ["$.image_urls[1]", "$.image_urls[2]"]),
        (images(image("1" * 10)), ["$.image_urls[0]"]),
        (images(image("001", "a-b")), ["$.image_urls[0]"]),
        (images(image("001", "")), ["$.image_urls[0]"]),
        (images(image("001", "é")), ["$.image_urls[0]"]),
    ],
)
def test_images_are_as_many_as_said_and_their_pages_rise_by_one(
    value: Any, where: list[str]
) -> None:
    assert paths("comic_images", value) == where


def test_a_page_that_is_out_of_order_is_named_with_the_one_that_was_due() -> None:
    value = images(image("001"), image("003"))
    (problem,) = check(Format("comic_images"), json.dumps(value).encode()).problems
    assert problem.message == "must be page 2, one after the one before, is page 3"


@pytest.mark.parametrize("name", ["comic_home", "comic_episodes", "comic_images"])
def test_what_is_no_json_is_told_as_such(name: str) -> None:
    (problem,) = check(Format(name), b"log line\n{}").problems
    assert problem.message.startswith("line 1, column 1")
