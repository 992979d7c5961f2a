import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client, RequestFactory

from moon_vision_challenge.web import error_views


def test_outside_the_api_errors_are_pages(client: Client) -> None:
    for path, headers, status in (("/nothing/", {}, 404), ("/", {"Host": "evil.example"}, 400)):
        response = client.get(path, headers=headers)
        assert (response.status_code, response["Content-Type"].split(";")[0]) == (status, "text/html")


@pytest.mark.parametrize(("path", "content_type"), [("/api/v0/", "application/json"), ("/admin/", "text/html")])
def test_each_handler_answers_in_the_language_of_the_address(path: str, content_type: str) -> None:
    request = RequestFactory().get(path)
    for response, status in (
        (error_views.permission_denied(request, PermissionDenied()), 403),
        (error_views.server_error(request), 500),
    ):
        assert (response.status_code, response["Content-Type"].split(";")[0]) == (status, content_type)
