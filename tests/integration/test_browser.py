"""In a real browser: a page of another origin runs nothing here, and our own page works."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attacks import ATTACKS, PEEK, PREFLIGHTED, attack_page, get_url, tells
from attrs import frozen
from browsing import Seen, Site, browser, site
from harness import System, eventually, system
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

PAGES = {
    "another port": ("localhost", "localhost"),
    "another site": ("127.0.0.1", "localhost"),
    "a plain name": ("evil.example", "judge.test"),
    "a name that is rebound": ("evil.example", "evil.example"),
}
"""Under which name an attacking page is served, and under which it calls the server."""
REBOUND = "a name that is rebound"


@frozen
class Stage:
    """What the tests play on: the scheduler, a relay to it that records, a site of others."""

    system: System
    relay: Site
    others: Site
    driver: Chrome
    markers: Path

    @property
    def port(self) -> int:
        return int(self.system.url.rpartition(":")[2])

    def code(self, marker: str) -> str:
        """Make a program that leaves a file, and prints what is a script too."""
        return f"open({str(self.markers / marker)!r}, 'w').close();print('leaked=1')"

    def ran(self, marker: str) -> bool:
        """Whether a program that came before has left its file."""
        assert self.system.run("print(1)")["outcome"] == "success"  # after it: one slot, in order
        return (self.markers / marker).exists()

    def attack(self, attack: str, page: str, marker: str) -> None:
        """Open an attacking page; it runs by itself."""
        name, server = PAGES[page]
        host = self.relay if page == REBOUND else self.others
        code = self.code(marker)
        host.redirects["/hop"] = get_url(self.relay.url(server), code)
        host.redirects["/hop-post"] = self.relay.url(server) + "/execute"
        host.pages["/attack"] = attack_page(attack, self.relay.url(server), code, "/hop")
        self.driver.get(host.url(name) + "/attack")

    def element(self, name: str) -> WebElement:
        """Find an element of our page."""
        return self.driver.find_element(By.ID, name)

    def text(self, name: str) -> str:
        """Give the text of an element, as it is and not as it is laid out."""
        found: str = self.element(name).get_property("textContent")  # type: ignore[assignment]
        return found

    def press_run(self, code: str) -> None:
        """Type a program and have it run."""
        field = self.element("code")
        field.clear()
        field.send_keys(code)
        self.element("run").click()

    def verdict(self, code: str) -> str:
        """Run a program by hand; give what the page says of it in the end."""
        self.press_run(code)
        eventually("the page's verdict", self.element("run").is_enabled)
        return self.text("verdict")


@pytest.fixture(scope="module")
def whole_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("browser")
    markers = Path(tempfile.mkdtemp(prefix="runyard-test-"))
    markers.chmod(0o777)
    with site() as others:
        options = ("--host-name=judge.test", f"--allow-origin={others.url('friend.test')}")
        with (
            system(folder / "state", "--slots=1", *options) as started,
            site(started.url) as relay,
            browser(folder / "profile") as driver,
        ):
            yield Stage(started, relay, others, driver, markers)
    shutil.rmtree(markers)


@pytest.fixture
def stage(whole_stage: Stage) -> Iterator[Stage]:
    """Give the stage, as nobody was on it before."""
    driver = whole_stage.driver
    whole_stage.relay.seen.clear()
    driver.get_log("browser")
    first = driver.current_window_handle
    yield whole_stage
    for handle in driver.window_handles:
        if handle != first:
            driver.switch_to.window(handle)
            driver.close()
    driver.switch_to.window(first)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize(
    "page",
    [
        "another port",
        REBOUND,
        pytest.param("another site", marks=pytest.mark.slow),
        pytest.param("a plain name", marks=pytest.mark.slow),
    ],
)
def test_a_page_of_others_runs_and_reads_nothing(stage: Stage, attack: str, page: str) -> None:
    marker = f"{attack}.{page.replace(' ', '-')}"
    stage.attack(attack, page, marker)
    asked = attack in PREFLIGHTED and page != REBOUND

    def arrived() -> list[Seen]:
        return [s for s in list(stage.relay.seen) if s.method == "OPTIONS" or marker in s.text]

    def settled() -> bool:
        return bool(arrived()) and (not tells(attack) or bool(stage.driver.execute_script(PEEK)))

    eventually("the attack's request, and what came of it", settled)
    known = set(stage.driver.execute_script(PEEK))
    assert not stage.ran(marker)
    assert {each.status for each in arrived()} == {403}
    assert {each.method == "OPTIONS" for each in arrived()} == {asked}
    # A page may read what comes from its own origin: there it is the refusal.
    refusals = {s.answer for s in arrived()} if page == REBOUND else set()
    assert {text.strip() for text in known} <= {"", *(text.strip() for text in refusals)}
    if page == "a plain name":
        assert all("sec-fetch-site" not in each.headers for each in arrived())
    if not asked:
        # The same request, were it not for the browser's headers, would have run.
        assert arrived()[0].again(stage.system.url)[0] == 200
        assert (stage.markers / marker).exists()


@pytest.mark.parametrize("attack", ["location", "form-get", "form-post"])
def test_loading_a_refused_page_again_does_not_run_it(stage: Stage, attack: str) -> None:
    stage.attack(attack, "another site", f"again.{attack}")
    eventually("the refusal", lambda: "is not allowed" in stage.driver.page_source)
    stage.driver.refresh()
    eventually("a second request", lambda: len(stage.relay.matching("again.")) > 1)
    assert {each.status for each in stage.relay.matching("again.")} == {403}
    assert not stage.ran(f"again.{attack}")


@pytest.mark.parametrize("path", ["/", "/workers", "/healthz", "/page/page.js", "/tasks/1"])
def test_a_page_of_others_reads_no_path(stage: Stage, path: str) -> None:
    read = (
        "const [url, done] = arguments;"
        "fetch(url).then((a) => a.text()).then(done, (error) => done(error.name))"
    )
    for name in ("localhost", "127.0.0.1", "evil.example"):
        stage.others.pages["/x"] = ""
        stage.driver.get(stage.others.url(name) + "/x")
        url = stage.relay.url("localhost") + path
        assert stage.driver.execute_async_script(read, url) == "TypeError"
    assert [each.target for each in stage.relay.seen] == [path] * 3
    if path != "/healthz":
        assert {each.status for each in stage.relay.seen} == {403}
        stage.relay.pages["/x"] = ""
        stage.driver.get(stage.relay.url("evil.example") + "/x")
        url = stage.relay.url("evil.example") + path
        assert "evil.example" in stage.driver.execute_async_script(read, url)
        assert stage.relay.seen[-1].status == 403


def test_our_page_is_not_shown_inside_another(stage: Stage) -> None:
    stage.others.pages["/x"] = f'<iframe src="{stage.relay.url("localhost")}/"></iframe>'
    stage.driver.get(stage.others.url("localhost") + "/x")
    stage.driver.switch_to.frame(0)
    assert stage.driver.find_elements(By.ID, "run") == []
    assert [each.target for each in stage.relay.seen] == ["/"]


@pytest.mark.parametrize("attack", ["fetch-json", "fetch-cors-get", "fetch-cors-post"])
def test_a_page_of_an_allowed_origin_runs_code_and_reads(stage: Stage, attack: str) -> None:
    marker = f"{attack}.friend"
    server = f"http://localhost:{stage.port}"
    stage.others.pages["/friend"] = attack_page(attack, server, stage.code(marker), "")
    stage.driver.get(stage.others.url("friend.test") + "/friend")
    [told] = eventually("an answer", lambda: stage.driver.execute_script("return told"))
    output = told if attack == "fetch-cors-get" else json.loads(told)["stdout"]
    assert output == "leaked=1\n"
    assert stage.ran(marker)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "judge.test"])
def test_our_page_runs_a_program_and_shows_its_output(stage: Stage, name: str) -> None:
    stage.driver.get(f"http://{name}:{stage.port}/")
    assert stage.verdict("print('out', 6 * 7)").startswith("success, 0.")
    assert stage.text("stdout") == "out 42\n"
    assert stage.text("stderr") == ""
    verdict = stage.verdict("print('before')\nraise ValueError('no')")
    assert verdict.startswith("runtime_error / ")
    assert stage.text("stdout") == "before\n"
    assert stage.text("stderr").rstrip().endswith("ValueError: no")
    assert stage.verdict("").startswith("The server did not take it: ")
    assert stage.text("stdout") == stage.text("stderr") == ""
    assert messages(stage) == ["400 (Bad Request)"]


def messages(stage: Stage) -> list[str]:
    """List what the console of our page says, by its end."""
    log: list[dict[str, Any]] = stage.driver.get_log("browser")
    mine = [each["message"] for each in log if f":{stage.port}/" in each["message"]]
    return [text.rpartition("a status of ")[2] for text in mine]


HOSTILE = (
    "<script>document.title = 'owned'</script><img src=x onerror=alert(1)>\x1b[31mred\x1b[0m&lt;"
)


def test_our_page_shows_hostile_output_as_text(stage: Stage) -> None:
    stage.driver.get(f"{stage.system.url}/")
    code = f"import sys\nprint({HOSTILE!r})\nprint({HOSTILE!r}, file=sys.stderr)"
    assert stage.verdict(code).startswith("success")
    for stream in ("stdout", "stderr"):
        assert stage.text(stream) == f"{HOSTILE}\n"
        assert stage.element(stream).find_elements(By.CSS_SELECTOR, "*") == []
    assert stage.driver.title == "runyard"
    assert messages(stage) == []


def test_our_page_fits_a_narrow_window_whatever_the_output(stage: Stage) -> None:
    driver = stage.driver
    size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        driver.get(f"{stage.system.url}/")
        assert stage.verdict("print('x' * 1_000_000)\nraise OSError('y' * 9000)").startswith("runt")
        assert stage.text("stdout") == "x" * 1_000_000 + "\n"
        width = "return document.documentElement.scrollWidth"
        assert driver.execute_script(width) == driver.execute_script("return innerWidth") == 360
        assert messages(stage) == []
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_our_page_cancels_a_long_task(stage: Stage) -> None:
    stage.driver.get(f"{stage.system.url}/")
    stage.press_run("import time\ntime.sleep(300)")
    eventually("it runs", lambda: stage.text("verdict").startswith("running"))
    assert not stage.element("run").is_enabled()
    stage.element("cancel").click()
    eventually("its end", stage.element("run").is_enabled)
    assert stage.text("verdict").startswith("cancelled / asked")
    assert not stage.element("cancel").is_enabled()
    assert messages(stage) == []


def test_cancel_works_as_soon_as_it_is_offered(stage: Stage) -> None:
    stage.driver.get(f"{stage.system.url}/")
    stage.element("code").clear()
    stage.element("code").send_keys("import time\ntime.sleep(1)")
    # In one go, before the server can have answered; a disabled button takes no click.
    offered = stage.driver.execute_script(
        "const [run, cancel] = arguments; run.click();"
        "const offered = !cancel.disabled; cancel.click(); return offered",
        stage.element("run"),
        stage.element("cancel"),
    )
    eventually("its end", stage.element("run").is_enabled)
    assert not offered or stage.text("verdict").startswith("cancelled / asked")


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "evil.example"])
def test_a_link_of_another_page_opens_ours(stage: Stage, name: str) -> None:
    stage.others.pages["/x"] = f'<a id="to" href="http://localhost:{stage.port}/">runyard</a>'
    stage.driver.get(stage.others.url(name) + "/x")
    stage.element("to").click()
    eventually("our page", lambda: stage.driver.title == "runyard")
    assert stage.verdict("print(1)").startswith("success")
    assert stage.text("stdout") == "1\n"


def test_code_in_the_address_bar_runs(stage: Stage) -> None:
    stage.driver.get(get_url(stage.relay.url("localhost"), "print('typed')"))
    assert stage.driver.find_element(By.TAG_NAME, "body").text == "typed"
    assert stage.relay.arrived("typed")[0].headers["sec-fetch-site"] == "none"
