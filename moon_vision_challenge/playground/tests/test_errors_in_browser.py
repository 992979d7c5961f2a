"""Errors are shown beside the picture, in the sentences of the API."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from moon_vision_challenge.accounts import tokens
from moon_vision_challenge.accounts.caller import Scope
from moon_vision_challenge.accounts.errors import InvalidTokenError, MissingTokenError
from moon_vision_challenge.accounts.models import Owner
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.tests.fake_model_server import Answer, FakeModelServer, has_versions, replies
from moon_vision_challenge.classification.tests.service import MODEL, PHOTO, Service
from moon_vision_challenge.playground.tests.browser import COFFEE, Playground
from moon_vision_challenge.playground.tests.conftest import OpenPage

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

MAX_BYTES = 20 * 1024 * 1024
StartFake = Callable[[Answer], FakeModelServer]


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("заметки.txt", b"these are notes", "The format is not known"),
        ("分子.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "format SVG, which is not accepted"),
        ("half.jpg", PHOTO[: len(PHOTO) // 2], "truncated|cut short|damaged|ends"),
        ("empty.png", b"", "empty"),
    ],
    ids=["text", "svg", "truncated", "empty"],
)
@pytest.mark.parametrize("mode", ["Now", "Queued"])
def test_what_is_not_an_image_gets_its_reason(
    playground: Playground, mode: str, name: str, data: bytes, sentence: str
) -> None:
    playground.allowed = {"400"}
    playground.page.get_by_role("radio", name=mode).check()
    playground.choose((name, data), COFFEE)
    assert re.search(sentence, playground.message("failed", name))
    playground.card("done" if mode == "Now" else "pending", "coffee.jpg")
    expect(playground.page.locator("#live")).to_contain_text(f"{name}: ")


def test_too_large_a_picture_is_not_sent(playground: Playground) -> None:
    playground.choose(("large.jpg", bytes(MAX_BYTES + 1)))
    assert playground.message() == "The image is too large. At most 20,971,520 bytes are accepted."


def test_what_the_service_finds_too_large_gets_413(playground: Playground, tmp_path: Path) -> None:
    playground.allowed = {"413"}
    playground.page.evaluate("document.body.dataset.maxImageBytes = 1e9")
    sizes = {"large.jpg": MAX_BYTES + 1, "huge.jpg": MAX_BYTES * 2}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(bytes(size))
    playground.page.set_input_files("#files", [tmp_path / name for name in sizes])
    for name in sizes:
        assert playground.message("failed", name) == "The image is too large. At most 20,971,520 bytes are accepted."


def test_a_rate_limit_of_a_second_is_waited_for(service: Service, new_page: OpenPage) -> None:
    service.start("web", API_ANON_RATE="1/s")
    playground = new_page().open()
    playground.allowed = {"429"}
    playground.choose(*((f"{number}.jpg", PHOTO) for number in range(3)))
    expect(playground.page.locator(".card[data-state=done]")).to_have_count(3)


def test_a_rate_limit_of_an_hour_is_not_waited_for(service: Service, new_page: OpenPage) -> None:
    service.start("web", API_ANON_RATE="1/h")
    playground = new_page().open()
    playground.allowed = {"429"}
    playground.choose(COFFEE)
    playground.card("done")
    playground.choose(("second.jpg", PHOTO))
    assert re.search("Too many requests", playground.message("failed", "second.jpg"))


def test_a_model_that_is_not_served_gets_503(playground: Playground) -> None:
    playground.allowed = {"503"}
    playground.page.select_option("#model", "resnet")
    playground.choose(COFFEE)
    assert playground.message().startswith("The model server does not serve this model.")
    playground.page.select_option("#model", MODEL)
    playground.button(playground.card("failed"), "Try again").click()
    expect(playground.card("done").locator(".meta")).to_contain_text(MODEL)


def test_a_model_that_answers_nonsense_gets_502(service: Service, new_page: OpenPage, start_fake: StartFake) -> None:
    fake = start_fake(replies(200, {"predictions": [[1, 2, 3]]}))
    fake.status = has_versions(1)
    service.start("web", TF_SERVING_URL=fake.url)
    playground = new_page().open()
    playground.allowed = {"502"}
    playground.choose(COFFEE)
    assert "answer" in playground.message()


def test_a_model_server_that_is_gone_is_shown_before_a_picture_is_sent(service: Service, new_page: OpenPage) -> None:
    service.start("web", TF_SERVING_URL="http://127.0.0.1:1")
    playground = new_page().open(is_ready=False)
    playground.allowed = {"503"}
    state = playground.page.locator("#model-state[data-state=unknown]")
    expect(state).to_contain_text("The model server does not answer")
    playground.choose(COFFEE)
    assert "model server" in playground.message()


def test_no_network_is_said_and_tried_again(playground: Playground) -> None:
    playground.allowed = {"net::ERR_INTERNET_DISCONNECTED"}
    playground.page.context.set_offline(True)
    playground.choose(COFFEE)
    assert playground.message() == "The service did not answer. Check your network connection, then try again."
    playground.page.context.set_offline(False)
    playground.button(playground.card("failed"), "Try again").click()
    playground.card("done")


def test_a_row_that_was_created_although_no_answer_came_is_not_created_twice(playground: Playground) -> None:
    playground.allowed = {"net::ERR_FAILED"}
    keys: list[str] = []

    def lose_the_first_answer(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            route.fetch()
            route.abort()
        else:
            route.continue_()

    playground.page.route("**/v1/inferences/", lose_the_first_answer)
    playground.queue()
    playground.choose(COFFEE)
    playground.button(playground.card("failed"), "Try again").click()
    playground.card("pending")
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_a_file_that_was_changed_after_it_was_chosen_is_told(playground: Playground, tmp_path: Path) -> None:
    playground.allowed = {"net::ERR"}
    playground.page.context.set_offline(True)
    (file := tmp_path / "photo.jpg").write_bytes(PHOTO)
    playground.page.set_input_files("#files", file)
    assert "did not answer" in playground.message()
    file.unlink()
    playground.page.context.set_offline(False)
    playground.button(playground.card("failed"), "Try again").click()
    message = playground.card("failed").locator(".message")
    expect(message).to_have_text("The file was moved or changed after you chose it. Choose it again.")


def test_a_row_whose_token_ended_is_found_again_with_the_next_one(playground: Playground) -> None:
    playground.allowed = {"401"}
    refused = {"detail": InvalidTokenError.detail, "code": InvalidTokenError.code}
    playground.page.route("**/v1/inferences/*/", lambda route: route.fulfill(status=401, json=refused))
    playground.queue()
    playground.choose(COFFEE)
    assert playground.message() == InvalidTokenError.detail
    playground.page.unroute("**/v1/inferences/*/")
    playground.button(playground.card("failed"), "Try again").click()
    playground.card("pending")
    assert Inference.objects.count() == 1


def test_the_page_of_a_proxy_is_not_taken_for_an_answer(playground: Playground) -> None:
    playground.allowed = {"502"}
    playground.page.route("**/v0/**", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    playground.choose(COFFEE)
    assert playground.message() == "The service answered with status 502 and gave no reason. Try again later."


def new_token(*scopes: Scope) -> str:
    owner, _ = Owner.objects.get_or_create(name="alice")
    _, secret = tokens.create_token(owner=owner, name="page", scopes=scopes, expires_at=None, actor="test")
    return secret


def give_token(playground: Playground, secret: str) -> None:
    playground.page.get_by_label("API token", exact=True).fill(secret)
    playground.page.keyboard.press("Enter")


@pytest.fixture
def closed(service: Service, new_page: OpenPage) -> Playground:
    """The page of a service that requires a token."""
    service.start("web", DJANGO_API_ALLOW_ANONYMOUS="0")
    playground = new_page().open(is_ready=False)
    playground.allowed = {"401", "403"}
    return playground


def test_a_token_is_asked_for_and_kept_for_the_tab(closed: Playground) -> None:
    page = closed.page
    problem = page.locator("#token-error")
    expect(problem).to_have_text(MissingTokenError.detail)
    closed.use_sample()
    assert closed.message() == MissingTokenError.detail

    give_token(closed, "mvc_wrong")
    expect(problem).to_have_text(InvalidTokenError.detail)
    expect(page.locator("#token")).to_be_focused()
    give_token(closed, "ключ")
    expect(problem).to_have_text(re.compile("not an API token"))

    secret = new_token(Scope.CLASSIFY, Scope.READ)
    give_token(closed, secret)
    page.locator("#model-state[data-state=available]").wait_for()
    expect(page.locator("#token-panel")).to_be_hidden()
    closed.button(closed.card("failed"), "Try again").click()
    card = closed.card("done")
    closed.button(card, "Code").click()
    expect(card.locator("code")).to_contain_text("$MOONVISION_TOKEN")
    assert secret not in page.content()
    assert secret not in page.evaluate("JSON.stringify(localStorage) + document.cookie")

    closed.open()
    page.get_by_role("button", name="API token in use").click()
    page.get_by_role("button", name="Forget the token").click()
    expect(problem).to_have_text(MissingTokenError.detail)
    assert page.evaluate("sessionStorage.length") == 0


def test_a_token_that_may_only_classify_still_gets_the_names_of_the_models(closed: Playground) -> None:
    give_token(closed, new_token(Scope.CLASSIFY))
    expect(closed.page.locator("#model-state")).to_contain_text("does not have the scope read")
    closed.page.select_option("#model", MODEL)
    closed.use_sample()
    closed.card("done")


def test_a_token_that_may_only_read_gets_403(closed: Playground) -> None:
    give_token(closed, new_token(Scope.READ))
    closed.page.locator("#model-state[data-state=available]").wait_for()
    closed.use_sample()
    assert "does not have the scope classify" in closed.message()
