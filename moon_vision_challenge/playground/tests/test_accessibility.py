"""axe-core on the page, and what it cannot see: zoom, narrow windows, and names of languages written from the right."""

import json
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from moon_vision_challenge.classification.tests.service import PHOTO
from moon_vision_challenge.playground.tests.browser import COFFEE, Playground
from moon_vision_challenge.playground.tests.conftest import OpenPage
from native.environment import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

AXE = ROOT / ".run" / "axe" / "node_modules" / "axe-core" / "axe.min.js"  # `make test_e2e` installs it there
WIDTHS = (360, 768, 1280)
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def show_everything(playground: Playground) -> None:
    """Show all kinds of cards, and all panels."""
    playground.allowed = {"400"}
    playground.choose(COFFEE, ("notes.txt", b"notes"), ("a_long_name_" * 12 + ".jpg", PHOTO))
    playground.card("failed")
    expect(playground.page.locator(".card[data-state=done]")).to_have_count(2)
    playground.queue()
    playground.choose(("waiting.jpg", PHOTO), ("canceled.jpg", PHOTO))
    playground.button(playground.card("pending", "canceled.jpg"), "Cancel").click()
    playground.card("canceled")
    playground.card("pending", "waiting.jpg")
    playground.button(playground.card("done", "coffee.jpg"), "Code").click()
    playground.page.get_by_role("button", name="API token").click()
    playground.page.locator("#token-error").evaluate("each => { each.textContent = 'No.'; each.hidden = false }")


def violations(page: Page) -> list[str]:
    found: list[dict[str, Any]] = page.evaluate(f"async () => (await axe.run({json.dumps(RULES)})).violations")
    return [f"{each['id']}: {node['html']} {node['failureSummary']}" for each in found for node in each["nodes"]]


def test_axe_finds_nothing_at_any_width_in_any_colors(new_page: OpenPage) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not installed. Install Node.js with npm, and run make test_e2e.")
    playground = new_page(bypass_csp=True).open()
    page = playground.page
    page.evaluate(AXE.read_text())
    found = {"empty": violations(page)}
    show_everything(playground)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
            found[f"{width} {scheme}"] = violations(page)
    assert {name: each for name, each in found.items() if each} == {}


def overflow(page: Page) -> list[str]:
    """Return the elements that extend beyond the window."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("body *")]
          .filter((each) => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest(".hidden, .skip"))
          .map((each) => each.outerHTML.slice(0, 100))"""
    )
    return found


def small_targets(page: Page) -> list[str]:
    """Return the controls that are too small for a finger."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("button, select, nav a, .modes label, .languages label")]
          .filter((each) => each.checkVisibility() && each.getBoundingClientRect().height < 32)
          .map((each) => each.outerHTML)"""
    )
    return found


def test_everything_is_in_reach_in_a_narrow_or_zoomed_window(playground: Playground) -> None:
    """A window of 1280 pixels has 640 at 200 % zoom, and 320 at 400 %."""
    show_everything(playground)
    page = playground.page
    for width, text_size in ((320, "100%"), (640, "100%"), (640, "200%"), (1280, "200%")):
        page.set_viewport_size({"width": width, "height": 800})
        page.evaluate("size => { document.documentElement.style.fontSize = size }", text_size)
        assert (width, text_size, overflow(page), small_targets(page)) == (width, text_size, [], [])
