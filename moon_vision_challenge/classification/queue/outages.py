"""Handles services that do not answer: rows wait instead of using up attempts, and one row at a time is retried."""

from collections.abc import Collection

from django.db import connection

MEDIA_STORE = ""
"""The value in place of a model type in an outage that affects all model types."""

# The pause is half as long as the outage has lasted: short for a restart, and never more than 15 s late at the end.
_BEGIN = """
INSERT INTO classification_outage AS outage (model_type, since, until)
SELECT model_type, statement_timestamp(), statement_timestamp() + interval '1 s' FROM unnest(%s::text[]) AS model_type
ON CONFLICT (model_type) DO UPDATE SET until = statement_timestamp()
    + least(greatest((statement_timestamp() - outage.since) / 2, interval '1 s'), interval '15 s')
"""


def begin(model_types: Collection[str]) -> None:
    """Pause claims of these model types. The first attempt that meets no outage ends the pause."""
    with connection.cursor() as cursor:
        cursor.execute(_BEGIN, [sorted(model_types)])
