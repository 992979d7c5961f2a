from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from moon_vision_challenge.classification.tests.service import Service
from moon_vision_challenge.playground.tests.browser import Playground, running_browser

OpenPage = Callable[..., Playground]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    # Playwright runs an event loop in this thread, where Django would refuse to use the database.
    with pytest.MonkeyPatch.context() as patch, running_browser() as running:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        yield running


@pytest.fixture
def new_page(browser: Browser, service: Service) -> Iterator[OpenPage]:
    """Open the page in a new profile, with these options of the browser's context."""
    opened: list[Playground] = []

    def make(*, bypass_csp: bool = False, has_touch: bool = False) -> Playground:
        context = browser.new_context(bypass_csp=bypass_csp, has_touch=has_touch)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        opened.append(Playground(context.new_page(), service))
        return opened[-1]

    yield make
    for each in opened:
        each.page.context.close()
        each.check()


@pytest.fixture
def playground(new_page: OpenPage) -> Playground:
    return new_page().open()
