import re

import pytest
from django.http import HttpResponse
from django.test import Client, RequestFactory

from moon_vision_challenge.web.content_security_policy import HEADER, POLICY, ContentSecurityPolicyMiddleware


@pytest.mark.parametrize(
    "path", ["/api/docs/", "/api/docs/?script", "/admin/login/", "/api/v1/models/", "/nowhere", "/"]
)
@pytest.mark.django_db
def test_every_response_has_the_usual_headers(client: Client, path: str) -> None:
    response = client.get(path)
    assert response[HEADER] == POLICY
    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/api/docs/", "/admin/login/"])
@pytest.mark.django_db
def test_no_page_has_a_script_that_the_policy_forbids(client: Client, path: str) -> None:
    page = client.get(path).content.decode()
    scripts = re.findall(r"<script\b([^>]*)>", page)
    assert scripts
    assert all("src=" in attributes or 'type="application/json"' in attributes for attributes in scripts)
    assert not re.search(r"\son[a-z]+=", page)
    assert not re.search(r"""src=["']https?:""", page)


def test_a_view_may_set_its_own_policy() -> None:
    def view(_: object) -> HttpResponse:
        return HttpResponse(headers={HEADER: "sandbox"})

    assert ContentSecurityPolicyMiddleware(view)(RequestFactory().get("/"))[HEADER] == "sandbox"
