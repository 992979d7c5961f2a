import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.urls import reverse
from PIL import Image

from moon_vision_challenge.classification import dispatchers
from moon_vision_challenge.classification.abstract_classificator import Classificator
from moon_vision_challenge.classification.dispatchers import AbstractDispatcher, Dispatcher
from moon_vision_challenge.classification.exceptions import UnknownModelTypeError


class Complete(Classificator):
    model_type = "complete"

    def preprocess_input(self, image: Image.Image) -> Any:
        return image

    def process_prediction(self, input_vector: Any) -> dict[str, Any]:
        return {"answer": input_vector}

    def decode_predictions(self, pred: dict[str, Any]) -> str:
        return str(pred["answer"])


class Unfinished(Classificator):
    model_type = "unfinished"

    def preprocess_input(self, image: Image.Image) -> Any:
        return image


class CapitalDispatcher(Dispatcher):
    """A consumer's own dispatcher."""

    def __getitem__(self, model_type: str) -> Classificator:
        return super().__getitem__(model_type.lower())


def test_a_registered_class_is_found_by_its_model_type() -> None:
    dispatcher = Dispatcher()
    dispatcher.register(Complete)
    assert isinstance(dispatcher["complete"], Complete)
    assert list(dispatcher) == ["complete"]


def test_one_instance_serves_all_requests() -> None:
    dispatcher = Dispatcher()
    dispatcher.register(Complete)
    assert dispatcher["complete"] is dispatcher["complete"]


def test_register_is_a_decorator() -> None:
    assert Dispatcher().register(Complete) is Complete


def test_two_dispatchers_share_nothing() -> None:
    Dispatcher().register(Complete)
    assert list(Dispatcher()) == []


def test_an_unknown_model_type_is_an_error_of_ours() -> None:
    with pytest.raises(UnknownModelTypeError):
        Dispatcher()["nothing"]


def test_an_abstract_class_is_refused_with_the_missing_hooks() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"Unfinished .*decode_predictions, process_prediction"):
        Dispatcher().register(Unfinished)


@pytest.mark.parametrize("model_type", [None, "", 7])
def test_a_class_without_a_model_type_is_refused(model_type: object) -> None:
    nameless = type("Nameless", (Complete,), {"model_type": model_type})
    with pytest.raises(ImproperlyConfigured, match=r"Nameless .*no model_type"):
        Dispatcher().register(nameless)


@pytest.mark.parametrize("model_type", ["resnet", "a", "7", "ResNet-50_v1.5", "_private", "x" * 100])
def test_a_model_type_that_works_everywhere_is_registered(model_type: str) -> None:
    own = Dispatcher()
    own.register(type("Named", (Complete,), {"model_type": model_type}))
    assert list(own) == [model_type]
    assert reverse("model-detail", args=[model_type]).endswith(f"/models/{model_type}/")


@pytest.mark.parametrize(
    "model_type",
    ["a/b", "a b", " a", "a ", "a\n", "a\tb", "a\0", "Bergkäse", "猫", "a:b", "a?b", "a#b", "a%20b", "a'b", 'a"b',
     "a\\b", ".", "..", ".hidden", "-flag", "a,b", "a;b", "a{b", "x" * 101, "a\u200bb", "\uff41", "٣", "a+b", "a&b"],
)  # fmt: skip
def test_a_model_type_that_some_address_cannot_hold_is_refused(model_type: str) -> None:
    own = Dispatcher()
    with pytest.raises(ImproperlyConfigured, match=r"Named cannot be registered: the model_type .* ASCII letters"):
        own.register(type("Named", (Complete,), {"model_type": model_type}))
    assert list(own) == []


@pytest.mark.parametrize("thing", [object, "text", Complete()])
def test_what_is_not_a_classificator_subclass_is_refused(thing: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="not a Classificator subclass"):
        Dispatcher().register(thing)


def test_a_duplicate_is_refused_and_both_classes_are_named() -> None:
    dispatcher = Dispatcher()
    dispatcher.register(Complete)
    twin = type("Twin", (Complete,), {})
    with pytest.raises(ImproperlyConfigured, match=r"Twin .*Complete has the model_type 'complete' already"):
        dispatcher.register(twin)


def test_an_abstract_dispatcher_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        AbstractDispatcher()  # type: ignore[abstract]  # the point of this test


@override_settings(CLASSIFICATION_DISPATCHER=f"{__name__}.CapitalDispatcher")
def test_the_setting_swaps_in_a_consumers_own_dispatcher() -> None:
    dispatcher = dispatchers._make_dispatcher()
    dispatcher.register(Complete)
    assert isinstance(dispatcher["COMPLETE"], Complete)


@pytest.mark.parametrize(
    "path", [f"{__name__}.Complete", "moon_vision_challenge.classification.dispatchers.dispatcher"]
)
def test_a_setting_that_names_no_dispatcher_class_is_an_error(path: str) -> None:
    with (
        override_settings(CLASSIFICATION_DISPATCHER=path),
        pytest.raises(ImproperlyConfigured, match="not an AbstractDisp"),
    ):
        dispatchers._make_dispatcher()


def test_the_projects_own_models_are_registered_at_start_up() -> None:
    assert {"resnet", "inception", "efficientnet_lite0"} <= set(dispatchers.dispatcher)


@pytest.fixture
def app_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Make an importable app whose classificators.py holds this text."""

    def make(text: str) -> str:
        package = tmp_path / "thirdparty_app"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "classificators.py").write_text(text)
        monkeypatch.syspath_prepend(str(tmp_path))
        return package.name

    yield make
    for name in [name for name in sys.modules if name.startswith("thirdparty_app")]:
        del sys.modules[name]


def test_a_broken_classificators_module_is_an_error_at_start_up(app_with: Any) -> None:
    app = app_with("import a_package_that_is_not_installed")
    with (
        override_settings(INSTALLED_APPS=[app]),
        pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_installed"),
    ):
        Dispatcher().autodiscover()


def test_an_app_without_classificators_is_not_an_error() -> None:
    assert apps.is_installed("django.contrib.sessions")
    dispatcher = Dispatcher()
    dispatcher.autodiscover()
    assert list(dispatcher) == []  # modules already imported register nothing twice
