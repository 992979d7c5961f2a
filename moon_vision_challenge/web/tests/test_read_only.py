import pytest
from django.test import Client

METHODS = ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "MADE-UP"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/status", "/media/inferences/2026/01/31/a.jpg"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.django_db
def test_another_method_is_405_in_json(path: str, method: str) -> None:
    response = Client(enforce_csrf_checks=True).generic(method, path)
    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")
    assert response.json() == {"detail": f'Method "{method}" not allowed.', "code": "method_not_allowed"}
