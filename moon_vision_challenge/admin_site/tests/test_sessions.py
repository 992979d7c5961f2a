from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone

from moon_vision_challenge.admin_site import tasks

pytestmark = pytest.mark.django_db


def test_expired_sessions_are_deleted() -> None:
    now = timezone.now()
    Session.objects.create(session_key="old", expire_date=now - timedelta(seconds=1))
    Session.objects.create(session_key="new", expire_date=now + timedelta(hours=1))
    tasks.delete_expired_sessions()
    assert [session.session_key for session in Session.objects.all()] == ["new"]
