"""Answers an image that was classified before from the result cache, instead of asking the model again.

A result is kept per caller, content of the image, model, version that answered, and number of classes. Without a known
version there is no reuse: a new version must not answer with the results of the old one.
"""

import hashlib
import time
from collections.abc import Sequence
from typing import NamedTuple

import orjson
from django.conf import settings

from moon_vision_challenge.classification import prediction
from moon_vision_challenge.classification.abstract_classificator import Classification, Classificator, Prediction
from moon_vision_challenge.classification.dispatchers import dispatcher
from moon_vision_challenge.classification.images import EncodedImage
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.prediction import VersionChoice
from moon_vision_challenge.observability import metrics
from moon_vision_challenge.result_cache import store
from moon_vision_challenge.result_cache.flights import Flights


class Reuse(NamedTuple):
    """What a caller lets the cache do."""

    scope: str = ""
    """Whose results it may get, and who may get its result. Empty: nobody's."""
    may_read: bool = True
    max_age_s: float | None = None

    @property
    def is_on(self) -> bool:
        return bool(self.scope and settings.RESULT_CACHE_TTL_S)


NO_REUSE = Reuse()


class Answer(NamedTuple):
    """A classification, and how the cache was involved."""

    label: str
    predictions: Sequence[Prediction] = ()
    cache_status: str = ""
    """The parameters of a Cache-Status header (RFC 9211). Empty while the cache is off."""
    age_s: int | None = None
    """Seconds since the model answered, if the result was reused."""


class _Kept(NamedTuple):
    classification: Classification
    version: int
    at: float  # time.time()

    @property
    def age_s(self) -> int:
        return max(0, round(time.time() - self.at))


_BYPASS, _REFUSED, _MISS, _HIT, _JOINED = "fwd=bypass", "fwd=request", "fwd=miss", "hit", "fwd=miss; collapsed"
_flights = Flights[Classification]()


def classify(model_type: str, image: EncodedImage, version: VersionChoice, top_k: int, reuse: Reuse) -> Answer:
    """As services.classify_image. Equal requests of one caller at the same moment ask the model once per process."""
    classificator = dispatcher[model_type]
    number = prediction.find_version(classificator, version) if reuse.is_on else None
    if number is None:
        return _answer(model_type, _ask(classificator, image, version, top_k)[0], _BYPASS)
    key = _key(reuse.scope, model_type, image.data)
    if not reuse.may_read:
        return _answer(model_type, _ask_and_keep(classificator, image, version, top_k, key), _REFUSED)
    full_key = _full_key(key, number, top_k)
    if kept := _find(full_key, number, reuse):
        return _answer(model_type, kept.classification, _HIT, kept.age_s)
    found, has_joined = _flights.join(full_key, lambda: _ask_and_keep(classificator, image, version, top_k, key))
    return _answer(model_type, found, _JOINED if has_joined else _MISS)


def find_for_row(inference: Inference, data: bytes, top_k: int, reuse: Reuse) -> tuple[Answer, int] | None:
    """The result for a new row, and the version of the model. None: a worker asks the model, and its result is kept.

    Raises UnknownVersionLabelError.
    """
    version = VersionChoice(inference.version, inference.version_label)
    number = prediction.find_version(dispatcher[inference.model_type], version) if reuse.is_on else None
    if number is None:
        return None
    key = _key(reuse.scope, inference.model_type, data)
    if reuse.may_read and (kept := _find(_full_key(key, number, top_k), number, reuse)):
        return _answer(inference.model_type, kept.classification, _HIT, kept.age_s), number
    _count(inference.model_type, _MISS if reuse.may_read else _REFUSED)
    store.wish(inference.pk, key)
    return None


def keep_results(results: Sequence[tuple[Inference, Classification, int | None]], top_k: int) -> None:
    """Keep the results of those rows whose clients allow it, with the versions that answered."""
    if not settings.RESULT_CACHE_TTL_S:
        return
    keys = store.wishes([inference.pk for inference, _, _ in results])
    store.put(
        {
            _full_key(key, version, top_k): _pack(found)
            for key, (_, found, version) in zip(keys, results, strict=True)
            if key and version is not None
        }
    )


def _ask(
    classificator: Classificator, image: EncodedImage, version: VersionChoice, top_k: int
) -> tuple[Classification, int | None]:
    with image.decoded(min_side=classificator.min_image_side) as rgb_image:
        [found], number = prediction.classify_and_tell_version(classificator, [rgb_image], version=version, top_k=top_k)
    return found, number


def _ask_and_keep(
    classificator: Classificator, image: EncodedImage, version: VersionChoice, top_k: int, key: str
) -> Classification:
    found, number = _ask(classificator, image, version, top_k)
    if number is not None:
        store.put({_full_key(key, number, top_k): _pack(found)})
    return found


def _key(scope: str, model_type: str, data: bytes) -> str:
    """Of fixed length, so that neither the scope nor the image can be read from it or forged."""
    return hashlib.sha256(orjson.dumps([scope, model_type, hashlib.sha256(data).hexdigest()])).hexdigest()


def _full_key(key: str, version: int, top_k: int) -> str:
    return f"{key}:{version}:{top_k}"


def _find(full_key: str, version: int, reuse: Reuse) -> _Kept | None:
    data = store.find(full_key)
    if data is None:
        return None
    label, predictions, at = orjson.loads(data)
    kept = _Kept(Classification(label, [Prediction(*one) for one in predictions]), version, at)
    return None if reuse.max_age_s is not None and kept.age_s > reuse.max_age_s else kept


def _pack(found: Classification) -> bytes:
    return orjson.dumps([found.label, [tuple(one) for one in found.predictions], time.time()])


def _answer(model_type: str, found: Classification, status: str, age_s: int | None = None) -> Answer:
    _count(model_type, status)
    return Answer(found.label, found.predictions, status, age_s)


def _count(model_type: str, status: str) -> None:
    if settings.RESULT_CACHE_TTL_S:
        metrics.result_cache.labels(model_type, _RESULTS[status]).inc()


_RESULTS = {_HIT: "hit", _MISS: "miss", _JOINED: "joined", _REFUSED: "refused", _BYPASS: "bypass"}
