"""Deletes old deliveries."""

import time
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection

BATCH = 1000
TURN_S = 20.0
"""The next run deletes the rest. A batch takes milliseconds, so a turn deletes more than ten minutes add."""

# SKIP LOCKED: two concurrent runs share the work, and neither waits for an attempt to deliver.
_DELETE_OLD = """
WITH old AS MATERIALIZED (
    SELECT id FROM webhooks_webhookdelivery
    WHERE created_at < statement_timestamp() - %(age)s AND status <> 'pending'
    ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
DELETE FROM webhooks_webhookdelivery WHERE id IN (SELECT id FROM old)
"""


def delete_old_deliveries() -> int:
    """Delete ended deliveries WEBHOOK_RETENTION_DAYS after their announcement, for one turn. Returns how many."""
    end, count = time.monotonic() + TURN_S, 0
    while deleted := _delete_batch():
        count += deleted
        if time.monotonic() >= end:
            break
    return count


def _delete_batch() -> int:
    parameters: dict[str, Any] = {"age": timedelta(days=settings.WEBHOOK_RETENTION_DAYS), "limit": BATCH}
    with connection.cursor() as cursor:
        cursor.execute(_DELETE_OLD, parameters)
        return int(cursor.rowcount)
