import gc
import weakref
from collections.abc import Iterator

import pytest
from django.test import RequestFactory

from moon_vision_challenge.classification.api.views import InferenceV0ViewSet

URL = "/api/v0/inferences/"


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_garbage_collection")
def test_a_request_and_its_image_are_freed_when_the_view_has_answered() -> None:
    request = RequestFactory().post(URL, b"not an image", "image/jpeg")
    is_alive = weakref.ref(request)
    assert InferenceV0ViewSet.as_view({"post": "create"})(request).status_code == 400
    del request
    assert not is_alive()
