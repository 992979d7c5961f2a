"""A real Chromium for the tests, and the page in it as a person uses it."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, FilePayload, Locator, Page, Playwright, expect, sync_playwright

from moon_vision_challenge.classification.tests.service import PHOTO, Service

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = (
    "No Chromium was found. Install one (on Debian: apt install chromium; without root: "
    ".venv/bin/playwright install chromium-headless-shell), or name it in CHROMIUM, and run make test_e2e again."
)
_STATUS = re.compile(r"the server responded with a status of (\d+)")

PATIENCE_S = 120
"""The limit for what a page does. It is shorter than LIMIT_S, because a step that never succeeds takes this time."""

expect.set_options(timeout=PATIENCE_S * 1000)

File = tuple[str, bytes]
COFFEE: File = ("coffee.jpg", PHOTO)


def find_chromium(playwright: Playwright) -> str:
    """Return the path of Chromium. Skips the test if this machine has none."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None and (own := Path(playwright.chromium.executable_path)).exists():
        found = str(own)
    if found is None:
        pytest.skip(MISSING)
    return found


@contextmanager
def running_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # the sandbox does not work for root
        browser = playwright.chromium.launch(executable_path=find_chromium(playwright), args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class Playground:
    """The page. At the end, it must have reported no error except those that a test allows."""

    def __init__(self, page: Page, service: Service) -> None:
        self.page = page
        self.service = service
        self.url = f"{service.url}/"
        self.allowed: set[str] = set()
        """Statuses, or parts of messages, that the browser may report."""
        self._problems: list[str] = []
        page.set_default_timeout(PATIENCE_S * 1000)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self._problems.append(str(error)))
        page.on("request", self._on_request)

    def open(self, *, is_ready: bool = True) -> "Playground":
        self.page.goto(self.url)
        if is_ready:
            self.page.locator("#model-state[data-state=available]").wait_for()
        return self

    def choose(self, *files: File, selector: str = "#files") -> None:
        payloads: Sequence[FilePayload] = [
            {"name": name, "mimeType": "application/octet-stream", "buffer": data} for name, data in files
        ]
        self.page.set_input_files(selector, payloads)

    def use_sample(self) -> None:
        self.page.get_by_role("button", name="Use the sample").click()

    def queue(self) -> None:
        """Choose v1."""
        self.page.get_by_role("radio", name="Queued").check()

    def start_worker(self) -> None:
        """Start a worker, and beat, whose sweep finds a row whose message was lost with an earlier test's Redis."""
        self.service.start("worker")
        self.service.start("beat")

    @property
    def cards(self) -> Locator:
        return self.page.locator(".card")

    def card(self, state: str, name: str = "") -> Locator:
        """Return the newest card in this state. Waits until there is one."""
        found = self.page.locator(f".card[data-state={state}]").filter(has_text=name).first
        found.wait_for()
        return found

    def message(self, state: str = "failed", name: str = "") -> str:
        return self.card(state, name).locator(".message").inner_text()

    def button(self, card: Locator, name: str) -> Locator:
        return card.get_by_role("button", name=name, exact=True)

    def check(self) -> None:
        assert self._problems == []

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type not in {"error", "warning"}:
            return
        status = _STATUS.search(message.text)
        if not any(status[1] == each if status else each in message.text for each in self.allowed):
            self._problems.append(message.text)

    def _on_request(self, request: object) -> None:
        url = str(getattr(request, "url", ""))
        if not url.startswith((self.url, "blob:")):
            self._problems.append(f"a request to {url}")
