"""The page in Chromium, on the running service: each way to add a picture, both ways to an answer, and the history."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.tests.pictures import photo
from moon_vision_challenge.classification.tests.service import MODEL, PHOTO
from moon_vision_challenge.classification.tests.waiting import LIMIT_S, wait_for
from moon_vision_challenge.playground.tests.browser import COFFEE, Playground
from moon_vision_challenge.playground.tests.conftest import OpenPage

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

HARMFUL = "<img src=x onerror=alert(1)>.jpg"
NAMES = ["чашка кофе.jpg", "咖啡杯.jpg", "قهوة.jpg", HARMFUL]


def bars(card: Locator) -> list[str]:
    return card.locator(".bars li").all_inner_texts()


def test_the_sample_is_classified_at_once(playground: Playground) -> None:
    playground.use_sample()
    card = playground.card("done")
    expect(card.locator(".label")).to_have_text("espresso")
    expect(card.locator(".meta")).to_have_text(re.compile(rf"^{MODEL} · now · [\d.]+\sm?s$"))
    assert len(bars(card)) == 5
    assert re.fullmatch(r"espresso\s+\d\d\.\d%", bars(card)[0])
    width = card.locator(".fill").first.evaluate("each => each.clientWidth / each.parentElement.clientWidth")
    assert width == pytest.approx(float(bars(card)[0].split()[1].rstrip("%")) / 100, abs=0.02)
    expect(card.locator("img")).to_be_visible()
    expect(playground.page.locator("#live")).to_contain_text("coffee.jpg: espresso")
    assert not Inference.objects.exists()


def test_many_pictures_with_names_in_many_languages_each_get_an_answer(playground: Playground) -> None:
    playground.choose(*((name, PHOTO) for name in NAMES))
    for name in NAMES:
        card = playground.card("done", name)
        expect(card.locator(".name")).to_have_text(name)
        expect(card.locator(".label")).to_have_text("espresso")
    assert playground.page.locator(".name").all_inner_texts() == NAMES[::-1]
    assert playground.page.locator(".card img[src^='blob:']").count() == len(NAMES)


def test_a_hundred_pictures_at_once_and_a_word_about_the_others(playground: Playground) -> None:
    small = photo("PNG")
    playground.page.route("**/inferences/**", lambda route: route.fulfill(json={"label": "x", "predictions": []}))
    playground.choose(*((f"{number}.png", small) for number in range(101)))
    expect(playground.page.locator("#notice")).to_have_text(re.compile("first 100 of 101"))
    expect(playground.page.locator(".card[data-state=done]")).to_have_count(100)


def drop(page: Page, script: str) -> None:
    transfer = page.evaluate_handle(f"() => {{ const transfer = new DataTransfer(); {script}; return transfer; }}")
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event("body", event, {"dataTransfer": transfer})


def test_a_picture_is_dropped_anywhere(playground: Playground) -> None:
    pixels = list(photo("PNG"))
    drop(playground.page, f"transfer.items.add(new File([new Uint8Array({pixels})], 'dropped.png'))")
    playground.card("done", "dropped.png")
    drop(playground.page, "transfer.setData('text/plain', 'https://example.com/a.jpg')")
    expect(playground.page.locator("#notice")).to_have_text(re.compile("not a file|is a file"))
    expect(playground.cards).to_have_count(1)


def test_a_picture_is_pasted(playground: Playground) -> None:
    playground.page.evaluate(
        """async (address) => {
          const picture = await createImageBitmap(await (await fetch(address)).blob());
          const canvas = new OffscreenCanvas(picture.width, picture.height);
          canvas.getContext("2d").drawImage(picture, 0, 0);
          const item = new ClipboardItem({ "image/png": await canvas.convertToBlob() });
          await navigator.clipboard.write([item]);
        }""",
        playground.page.evaluate("document.body.dataset.sample"),
    )
    playground.page.keyboard.press("Control+V")
    expect(playground.card("done").locator(".label")).to_have_text("espresso")


def test_a_picture_is_picked_by_keyboard(playground: Playground, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(PHOTO)
    with playground.page.expect_file_chooser() as chooser:
        playground.page.get_by_role("button", name="Choose pictures").press("Enter")
    assert chooser.value.is_multiple()
    chooser.value.set_files(tmp_path / "photo.jpg")
    playground.card("done", "photo.jpg")


def test_a_phone_takes_a_photo(new_page: OpenPage) -> None:
    expect(new_page().open().page.get_by_role("button", name="Take a photo")).to_be_hidden()
    phone = new_page(has_touch=True).open()
    with phone.page.expect_file_chooser() as chooser:
        phone.page.get_by_role("button", name="Take a photo").tap()
    assert not chooser.value.is_multiple()
    assert chooser.value.element.get_attribute("capture") == "environment"
    phone.choose(("IMG_0001.jpg", PHOTO), selector="#camera")
    phone.card("done", "IMG_0001.jpg")


def test_a_picture_goes_through_the_queue(playground: Playground) -> None:
    playground.queue()
    playground.use_sample()
    expect(playground.card("pending").locator(".label")).to_have_text("In the queue")
    playground.start_worker()
    card = playground.card("done")
    expect(card.locator(".meta")).to_have_text(re.compile(rf"^{MODEL} · queued · [\d.]+\sm?s$"))
    assert len(bars(card)) == 5
    assert Inference.objects.get().label == "espresso"


def test_the_status_of_a_row_is_shown_while_it_changes(playground: Playground) -> None:
    playground.queue()
    playground.choose(COFFEE, ("tea.jpg", PHOTO))
    playground.card("pending", "tea.jpg")
    wait_for(lambda: Inference.objects.count() == 2, "two rows")
    Inference.objects.update(status="processing")
    expect(playground.card("processing", "coffee.jpg").locator(".label")).to_have_text("A worker is classifying it")
    reason = {"code": "worker_lost", "detail": "Every attempt ended with the loss of its worker."}
    Inference.objects.update(status="fail", error=reason, finished_at="2099-01-01T00:00Z")
    assert playground.message("failed", "coffee.jpg") == reason["detail"]
    assert playground.message("failed", "tea.jpg") == reason["detail"]


def test_a_queued_picture_is_canceled(playground: Playground) -> None:
    playground.queue()
    playground.use_sample()
    playground.button(playground.card("pending"), "Cancel").click()
    card = playground.card("canceled")
    assert Inference.objects.get().status == "canceled"
    expect(card).to_be_focused()
    playground.page.get_by_role("radio", name="Now").check()
    playground.button(card, "Try again").click()
    playground.start_worker()
    playground.card("done")
    assert Inference.objects.count() == 2


def test_a_picture_that_a_worker_has_started_is_not_canceled(playground: Playground) -> None:
    playground.allowed = {"409"}
    playground.queue()
    playground.use_sample()
    card = playground.card("pending")
    Inference.objects.update(status="processing")
    playground.button(card, "Cancel").click()
    expect(playground.cards.locator(".message")).to_have_text("This inference is no longer pending.")
    Inference.objects.update(status="done", label="espresso", finished_at="2099-01-01T00:00Z")
    playground.card("done")


def test_a_picture_is_canceled_while_it_is_sent(playground: Playground) -> None:
    held: list[Route] = []
    playground.page.route("**/v0/inferences/**", lambda route: held.append(route))  # noqa: PLW0108  # marks its handler
    playground.choose(COFFEE, ("second.jpg", PHOTO), ("third.jpg", PHOTO))
    expect(playground.page.locator(".card[data-state=sending]")).to_have_count(2)
    for name in ("third.jpg", "coffee.jpg", "second.jpg"):
        playground.button(playground.cards.filter(has_text=name), "Cancel").click()
    expect(playground.page.locator(".card[data-state=canceled]")).to_have_count(3)
    assert len(held) == 2


def test_the_history_outlives_the_page(playground: Playground) -> None:
    playground.use_sample()
    playground.card("done")
    expect(playground.cards.locator("img")).to_be_visible()
    playground.queue()
    playground.choose(("queued.jpg", PHOTO))
    playground.card("pending")
    playground.open()
    assert bars(playground.card("done", "coffee.jpg"))[0].startswith("espresso")
    expect(playground.card("done", "coffee.jpg").locator("img")).to_be_visible()
    playground.start_worker()
    playground.card("done", "queued.jpg")

    playground.button(playground.card("done", "queued.jpg"), "Remove").click()
    expect(playground.card("done", "coffee.jpg")).to_be_focused()
    playground.open()
    expect(playground.cards).to_have_count(1)
    playground.page.get_by_role("button", name="Clear all").click()
    expect(playground.page.get_by_role("heading", name="Results")).to_be_focused()
    playground.open()
    expect(playground.cards).to_have_count(0)
    expect(playground.page.locator("#empty")).to_be_visible()


def test_a_try_that_was_cut_short_says_so(playground: Playground) -> None:
    playground.page.route("**/v0/inferences/**", lambda _: None)
    playground.choose(COFFEE)
    playground.card("sending")
    playground.open()
    assert playground.message().startswith("Another tab still waits for the answer, or the page was left before it")


@pytest.mark.parametrize("mode", ["Now", "Queued"])
def test_the_code_of_a_try_does_the_same(playground: Playground, tmp_path: Path, mode: str) -> None:
    name = 'a cup; it\'s "café, кофе".jpg'
    (tmp_path / name).write_bytes(PHOTO)
    playground.start_worker()
    playground.page.get_by_role("radio", name=mode).check()
    playground.choose((name, PHOTO))
    card = playground.card("done")
    playground.button(card, "Code").click()
    commands = {"curl": ["sh"], "Python": [sys.executable, "-"], "JavaScript": ["node", "--input-type=module"]}
    for language, command in commands.items():
        if shutil.which(command[0]) is None:
            continue
        card.get_by_role("radio", name=language).check()
        playground.button(card, "Copy").click()
        expect(card.get_by_role("button", name="Copied")).to_be_visible()
        code = playground.page.evaluate("navigator.clipboard.readText()")
        ran = subprocess.run(
            command, input=code, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        assert re.search(r"""label['"]?: ?['"]espresso""", ran.stdout), (language, code, ran.stdout, ran.stderr)


def test_the_code_is_selected_where_the_page_may_not_use_the_clipboard(playground: Playground) -> None:
    playground.use_sample()
    card = playground.card("done")
    playground.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    playground.button(card, "Code").click()
    playground.button(card, "Copy").click()
    expect(card.get_by_role("button", name=re.compile("Copied|Ctrl"))).to_be_visible()
    assert playground.page.evaluate("getSelection().toString()").startswith("curl -F")


def test_the_state_of_each_model_is_shown_with_its_reason(playground: Playground) -> None:
    page = playground.page
    expect(page.locator("#model")).to_have_value(MODEL)
    expect(page.locator("#model-state")).to_have_text(re.compile(r"^Ready · version 1 · 224 . 224 pixels"))
    page.select_option("#model", "resnet")
    expect(page.locator("#model-state")).to_have_text(re.compile(r"^Not available\. \w+"))
    expect(page.locator("#model option:checked")).to_have_text("resnet (not available)")


def test_without_a_database_of_the_browser_the_page_works(new_page: OpenPage) -> None:
    page = new_page()
    page.page.add_init_script(
        "delete window.indexedDB; Object.defineProperty(window, 'indexedDB', { value: undefined })"
    )
    page.open().use_sample()
    page.card("done")


def test_the_page_is_used_by_keyboard_alone(playground: Playground) -> None:
    page = playground.page
    order = []
    for _ in range(7):
        page.keyboard.press("Tab")
        order.append(page.evaluate("(({ innerText, value }) => innerText || value)(document.activeElement)"))
    models = page.locator("#model").inner_text()
    links = ["Skip to the results", "API docs", "API token"]
    assert order == [*links, models, "v0", "Choose pictures", "Use the sample"]
    page.keyboard.press("Enter")
    card = playground.card("done")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Clear all")).to_be_focused()
    page.keyboard.press("Tab")
    expect(playground.button(card, "Code")).to_be_focused()
    page.keyboard.press("Enter")
    expect(card.locator("code")).to_be_visible()
