"""Finds the Classificator for a model_type. Every app's `classificators.py` registers its classes at startup."""

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TypeVar, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import SimpleLazyObject
from django.utils.module_loading import autodiscover_modules, import_string

from moon_vision_challenge.classification.abstract_classificator import Classificator
from moon_vision_challenge.classification.exceptions import UnknownModelTypeError

ClassificatorClass = TypeVar("ClassificatorClass", bound=type[Classificator])

_MODEL_TYPE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
"""Names that work unchanged as a URL segment, a folder name, a name in models.config, and a queue name."""


class AbstractDispatcher(ABC):
    """The interface of a dispatcher. To use your own, set CLASSIFICATION_DISPATCHER to its dotted path."""

    @abstractmethod
    def register(self, classificator_class: ClassificatorClass) -> ClassificatorClass:
        """Register a class and return it, so that this is also a class decorator. Raises ImproperlyConfigured."""

    @abstractmethod
    def __getitem__(self, model_type: str) -> Classificator:
        """Return the classificator of a model type. Raises UnknownModelTypeError."""

    @abstractmethod
    def __iter__(self) -> Iterator[str]:
        """Yield the model types, in the order in which consumers see them."""

    def autodiscover(self) -> None:
        """Import `classificators.py` of every installed app. Errors in these modules propagate."""
        autodiscover_modules("classificators")


class Dispatcher(AbstractDispatcher):
    """Keeps one instance of every registered class, in the order of registration."""

    def __init__(self) -> None:
        self._classificators: dict[str, Classificator] = {}

    def register(self, classificator_class: ClassificatorClass) -> ClassificatorClass:
        given: object = classificator_class  # without a type checker, consumers can register anything
        if not (inspect.isclass(given) and issubclass(given, Classificator)):
            raise ImproperlyConfigured(
                f"{classificator_class!r} cannot be registered: it is not a Classificator subclass."
            )
        name = f"{classificator_class.__module__}.{classificator_class.__qualname__}"
        if missing := sorted(classificator_class.__abstractmethods__):
            raise ImproperlyConfigured(f"{name} cannot be registered: it does not implement {', '.join(missing)}.")
        model_type = getattr(classificator_class, "model_type", None)
        if not (isinstance(model_type, str) and model_type):
            raise ImproperlyConfigured(f"{name} cannot be registered: it has no model_type.")
        if not _MODEL_TYPE.fullmatch(model_type):
            raise ImproperlyConfigured(
                f"{name} cannot be registered: the model_type {model_type[:120]!r} cannot be used in all addresses. "
                "Use 1 to 100 ASCII letters, digits, '_', '-' and '.', starting with a letter, a digit or '_'. "
                "If the model server knows the model by another name, set model_url."
            )
        if model_type in self._classificators:
            other = type(self._classificators[model_type])
            raise ImproperlyConfigured(
                f"{name} cannot be registered: {other.__module__}.{other.__qualname__} has the model_type "
                f"{model_type!r} already."
            )
        self._classificators[model_type] = classificator_class()
        return classificator_class

    def __getitem__(self, model_type: str) -> Classificator:
        try:
            return self._classificators[model_type]
        except KeyError:
            raise UnknownModelTypeError(f"no classificator is registered for {model_type!r}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._classificators)


def _make_dispatcher() -> AbstractDispatcher:
    dispatcher_class = import_string(settings.CLASSIFICATION_DISPATCHER)
    if not (inspect.isclass(dispatcher_class) and issubclass(dispatcher_class, AbstractDispatcher)):
        raise ImproperlyConfigured(
            f"CLASSIFICATION_DISPATCHER: {dispatcher_class!r} is not an AbstractDispatcher subclass."
        )
    return dispatcher_class()


# Created on first use, because a consumer's dispatcher lives in a module that imports this one.
dispatcher = cast(AbstractDispatcher, SimpleLazyObject(_make_dispatcher))
"""The dispatcher of this process."""
