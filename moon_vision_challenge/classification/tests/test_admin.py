import pytest
from django.test import Client

from moon_vision_challenge.classification.models import Inference

pytestmark = pytest.mark.django_db

URL = "/admin/classification/inference/"


@pytest.fixture
def rows() -> list[Inference]:
    return [
        Inference.objects.create(model_type="resnet", image="inferences/a.jpg", status="done", label="albatross"),
        Inference.objects.create(model_type="inception", image="inferences/b.jpg", status="fail", error={"code": "x"}),
    ]


def test_the_list_is_filtered_and_searched(admin_client: Client, rows: list[Inference]) -> None:
    for query, ids in {
        "": [rows[1].pk, rows[0].pk],
        "?status__exact=done": [rows[0].pk],
        "?model_type=inception": [rows[1].pk],
        "?q=albat": [rows[0].pk],
        f"?q={rows[1].pk}": [rows[1].pk],
    }.items():
        response = admin_client.get(URL + query)
        assert [row.pk for row in response.context["cl"].result_list] == ids, query


def test_a_row_can_be_saved(admin_client: Client, rows: list[Inference]) -> None:
    page = f"{URL}{rows[0].pk}/change/"
    form = admin_client.get(page).context["adminform"].form
    values = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    values |= {"available_at_0": "2026-01-01", "available_at_1": "00:00:00", "label": "puffin", "image": ""}
    response = admin_client.post(page, values)
    assert response.status_code == 302, response.context["errors"]
    rows[0].refresh_from_db()
    assert rows[0].label == "puffin"


def test_the_form_offers_the_registered_model_types(admin_client: Client, rows: list[Inference]) -> None:
    form = admin_client.get(f"{URL}{rows[0].pk}/change/").context["adminform"].form
    assert ("efficientnet_lite0", "efficientnet_lite0") in form.fields["model_type"].choices


def test_a_row_of_a_model_type_that_is_gone_can_still_be_saved(admin_client: Client, rows: list[Inference]) -> None:
    Inference.objects.filter(pk=rows[0].pk).update(model_type="gone")
    form = admin_client.get(f"{URL}{rows[0].pk}/change/").context["adminform"].form
    assert ("gone", "gone") in form.fields["model_type"].choices


def test_an_action_takes_as_many_rows_as_a_page_shows(admin_client: Client) -> None:
    rows = Inference.objects.bulk_create(Inference(model_type="resnet", status="done") for _ in range(100))
    chosen = [str(row.pk) for row in rows]
    form = {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
    assert admin_client.post(URL, form).status_code == 302
    assert not Inference.objects.exists()
