"""The Celery task of the admin."""

from celery import shared_task
from django.contrib.sessions.backends.db import SessionStore


@shared_task
def delete_expired_sessions() -> None:
    """Beat: Django leaves the rows of sessions that nobody logged out of."""
    SessionStore.clear_expired()
