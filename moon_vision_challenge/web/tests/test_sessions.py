import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client


@pytest.mark.parametrize(
    ("path", "has_session"), [("/api/v1/models/", False), ("/api/docs/", False), ("/admin/", True)]
)
@pytest.mark.django_db
def test_only_pages_have_a_session(client: Client, path: str, has_session: bool) -> None:
    request = client.get(path).wsgi_request
    assert [hasattr(request, name) for name in ("session", "_messages")] == [has_session, has_session]


@pytest.mark.django_db
def test_the_cookie_of_a_login_opens_the_admin_but_not_the_api(client: Client, settings: object) -> None:
    settings.API_ALLOW_ANONYMOUS = False  # type: ignore[attr-defined]
    client.force_login(User.objects.create_superuser("root"))
    assert SessionStore(client.cookies["sessionid"].value).get("_auth_user_id")
    assert client.get("/admin/").status_code == 200
    assert client.get("/api/v1/models/").status_code == 401
