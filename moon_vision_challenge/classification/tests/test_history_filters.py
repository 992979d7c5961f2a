import pytest
from rest_framework.test import APIClient

from moon_vision_challenge.classification.models import Inference

FILTERS = ["status", "model_type", "created_after", "created_before", "page_size"]


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.django_db
def test_an_empty_filter_is_400_and_shows_nothing(client: APIClient, name: str) -> None:
    Inference.objects.create(model_type="resnet", image="inferences/2026/01/31/a.jpg")
    response = client.get(f"/api/v1/history/?{name}=")
    assert (response.status_code, list(response.json())) == (400, [name])
