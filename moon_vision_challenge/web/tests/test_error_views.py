import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client, RequestFactory

from moon_vision_challenge.web import error_views


@pytest.mark.parametrize("path", ["/", "/nothing/", "/media/nothing", "/api/nothing", "/api/v0/inferences/"])
def test_a_foreign_host_gets_400_in_json_at_every_address(client: Client, path: str) -> None:
    response = client.get(path, headers={"Host": "evil.example"})
    assert (response.status_code, response.json()["code"]) == (400, "bad_request")
    assert "DJANGO_ALLOWED_HOSTS" in response.json()["detail"]


@pytest.mark.parametrize("path", ["/nothing/", "/media/nothing", "/media/" + "a" * 256, "/media/a%00b", "/media/%ff"])
def test_what_is_not_there_is_404_in_json(client: Client, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("host", ["10.1.2.3:8000", "evil.example", "a b", "[::", "\xff"])
def test_probes_are_answered_for_every_host_header(client: Client, host: str) -> None:
    assert client.get("/livez", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("path", "content_type"),
    [("/api/v0/", "application/json"), ("/media/", "application/json"), ("/admin/", "text/html")],
)
def test_each_handler_answers_in_the_language_of_the_address(path: str, content_type: str) -> None:
    request = RequestFactory().get(path)
    for response, status in (
        (error_views.permission_denied(request, PermissionDenied()), 403),
        (error_views.server_error(request), 500),
    ):
        assert (response.status_code, response["Content-Type"].split(";")[0]) == (status, content_type)
