from typing import Any
from unittest.mock import patch

import pytest
from django.db import DatabaseError, OperationalError, connection
from pytest_django import DjangoAssertNumQueries

from moon_vision_challenge.classification import images, services
from moon_vision_challenge.classification.exceptions import UnreadableImageError
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import backlog
from moon_vision_challenge.classification.tests.rows import stored_files

pytestmark = pytest.mark.django_db

STATUS = Inference.STATUS


def test_a_new_inference_is_pending_and_keeps_the_bytes_unchanged(inference: Inference, jpeg: bytes) -> None:
    inference.refresh_from_db()
    assert (inference.status, inference.label, inference.attempts, inference.error) == (STATUS.PENDING, "", 0, None)
    with inference.image.open("rb") as file:
        assert file.read() == jpeg


def test_creating_an_inference_is_one_query(
    jpeg: bytes, django_assert_num_queries: DjangoAssertNumQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "check_capacity", lambda: None)  # it queries the database once a second
    with django_assert_num_queries(1):
        services.create_inference(owner_id=0, model_type="resnet", image=images.open_image(jpeg))


def test_a_damaged_image_stores_nothing(jpeg: bytes) -> None:
    half = jpeg[: len(jpeg) // 2]
    with pytest.raises(UnreadableImageError):
        services.create_inference(owner_id=0, model_type="resnet", image=images.open_image(half))
    assert not Inference.objects.exists()
    assert stored_files() == []


def test_a_row_that_cannot_be_written_leaves_no_file(jpeg: bytes) -> None:
    with patch.object(Inference, "save_base", side_effect=DatabaseError), pytest.raises(DatabaseError):
        services.create_inference(owner_id=0, model_type="resnet", image=images.open_image(jpeg))
    assert stored_files() == []


def test_a_row_whose_commit_got_no_answer_keeps_its_file(jpeg: bytes) -> None:
    save_base = Inference.save_base

    def connection_lost_after_commit(self: Inference, **options: Any) -> None:
        save_base(self, **options)
        raise OperationalError

    with patch.object(Inference, "save_base", connection_lost_after_commit), pytest.raises(OperationalError):
        services.create_inference(owner_id=0, model_type="resnet", image=images.open_image(jpeg))
    with Inference.objects.get().image.open("rb") as file:
        assert file.read() == jpeg


def test_without_a_database_no_file_is_stored(jpeg: bytes) -> None:
    with patch.object(connection, "ensure_connection", side_effect=OperationalError), pytest.raises(OperationalError):
        services.create_inference(owner_id=0, model_type="resnet", image=images.open_image(jpeg))
    assert stored_files() == []
