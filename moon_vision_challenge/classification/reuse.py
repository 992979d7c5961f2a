"""Reuses results from the result cache for images that were classified before, instead of calling the model again.

Results are kept by caller, image content, model, version that answered, and number of classes. Without a known version,
nothing is reused, because a new version must not return the results of the old one.
"""

import hashlib
import time
from collections.abc import Sequence
from typing import NamedTuple

import orjson
from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from moon_vision_challenge.classification import events, prediction
from moon_vision_challenge.classification.abstract_classificator import Classification, Classificator, Prediction
from moon_vision_challenge.classification.dispatchers import dispatcher
from moon_vision_challenge.classification.exceptions import ClassificationError
from moon_vision_challenge.classification.images import EncodedImage
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.prediction import VersionChoice
from moon_vision_challenge.classification.results import STORED_PREDICTIONS
from moon_vision_challenge.observability import metrics
from moon_vision_challenge.result_cache import store
from moon_vision_challenge.result_cache.flights import Flights


class Reuse(NamedTuple):
    """What a caller allows the cache to do."""

    scope: str = ""
    """Identifies the callers that share results with this one. Empty: the cache is off."""
    may_read: bool = True
    max_age_s: float | None = None

    @property
    def is_on(self) -> bool:
        return bool(self.scope)


NO_REUSE = Reuse()


class Answer(NamedTuple):
    """A classification, and how the cache handled it."""

    label: str
    predictions: Sequence[Prediction] = ()
    cache_status: str = ""
    """The parameters of a Cache-Status header (RFC 9211). Empty while the cache is off."""
    age_s: int | None = None
    """Seconds since the model answered, if the result was reused."""


class _Kept(NamedTuple):
    label: str
    predictions: Sequence[Prediction]
    at: float  # time.time()

    @property
    def age_s(self) -> int:
        return max(0, round(time.time() - self.at))


_BYPASS, _REFUSED, _MISS, _HIT, _JOINED = "fwd=bypass", "fwd=request", "fwd=miss", "hit", "fwd=miss; collapsed"
_flights = Flights[Classification]()


def classify(model_type: str, image: EncodedImage, version: VersionChoice, top_k: int, reuse: Reuse) -> Answer:
    """Do what services.classify_image does, using the cache.

    Equal concurrent requests of one caller call the model once per process.
    """
    classificator = dispatcher[model_type]
    number = prediction.find_version(classificator, version)
    if number is None:
        return _answer(model_type, _ask(classificator, image, version, top_k)[0], _BYPASS)
    key = _key(reuse.scope, model_type, image.data)
    if not reuse.may_read:
        return _answer(model_type, _ask_and_keep(classificator, image, version, top_k, key), _REFUSED)
    full_key = _full_key(key, number, top_k)
    if kept := _find(full_key, reuse):
        return _answer(model_type, kept, _HIT)
    found, has_joined = _flights.join(full_key, lambda: _ask_and_keep(classificator, image, version, top_k, key))
    return _answer(model_type, found, _JOINED if has_joined else _MISS)


def answer_row(inference: Inference, image: EncodedImage, reuse: Reuse) -> Answer | None:
    """Finish a new row if its result is known. Otherwise, return None: a worker classifies it, and its result is kept.

    `inference` itself does not change, because the client that has just created it expects a pending one.
    """
    if not reuse.is_on:
        return None
    version = VersionChoice(inference.version, inference.version_label)
    try:
        number = prediction.find_version(dispatcher[inference.model_type], version)
    except ClassificationError:  # the error is stored on the row
        return None
    if number is None:
        return None
    key = _key(reuse.scope, inference.model_type, image.data)
    if reuse.may_read and (kept := _find(_full_key(key, number, STORED_PREDICTIONS), reuse)):
        return _answer(inference.model_type, kept, _HIT) if _finish(inference, kept, number) else None
    _count(inference.model_type, _MISS if reuse.may_read else _REFUSED)
    store.wish(inference.pk, key)
    return None


def _finish(inference: Inference, kept: _Kept, version: int) -> bool:
    """Finish the row. Returns False if it is no longer pending."""
    with transaction.atomic():
        is_done = Inference.objects.filter(pk=inference.pk, status=Inference.STATUS.PENDING).update(
            status=Inference.STATUS.DONE,
            label=kept.label,
            predictions=[one._asdict() for one in kept.predictions],
            model_version=version,
            started_at=Now(),
            finished_at=Now(),
        )
        if is_done:
            events.announce_final([Inference.objects.get(pk=inference.pk)])
    return bool(is_done)


def keep_results(results: Sequence[tuple[Inference, Classification, int | None]]) -> None:
    """Keep the results of rows whose clients allow it, under the versions that answered."""
    if not settings.RESULT_CACHE_TTL_S:
        return
    keys = store.wishes([inference.pk for inference, _, _ in results])
    store.put(
        {
            _full_key(key, version, STORED_PREDICTIONS): _pack(found)
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
    """Return a fixed-length key, from which neither the scope nor the image can be read or forged."""
    return hashlib.sha256(orjson.dumps([scope, model_type, hashlib.sha256(data).hexdigest()])).hexdigest()


def _full_key(key: str, version: int, top_k: int) -> str:
    return f"{key}:{version}:{top_k}"


def _find(full_key: str, reuse: Reuse) -> _Kept | None:
    data = store.find(full_key)
    if data is None:
        return None
    label, predictions, at = orjson.loads(data)
    kept = _Kept(label, [Prediction(*one) for one in predictions], at)
    return None if reuse.max_age_s is not None and kept.age_s > reuse.max_age_s else kept


def _pack(found: Classification) -> bytes:
    return orjson.dumps([found.label, [tuple(one) for one in found.predictions], time.time()])


def _answer(model_type: str, found: Classification | _Kept, status: str) -> Answer:
    _count(model_type, status)
    age_s = found.age_s if isinstance(found, _Kept) else None
    return Answer(found.label, found.predictions, status, age_s)


def _count(model_type: str, status: str) -> None:
    metrics.result_cache.labels(model_type, _RESULTS[status]).inc()


_RESULTS = {_HIT: "hit", _MISS: "miss", _JOINED: "joined", _REFUSED: "refused", _BYPASS: "bypass"}
