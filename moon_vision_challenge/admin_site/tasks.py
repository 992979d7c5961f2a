"""The Celery task of the admin."""

from celery import shared_task
from django.contrib.sessions.backends.db import SessionStore


@shared_task
def delete_expired_sessions() -> None:
    """Beat: delete expired sessions, whose rows Django keeps."""
    SessionStore.clear_expired()
