"""Reads the rows for the runners, in the database itself."""

from typing import Any

import psycopg2

CONNECT_TIMEOUT_S = 20

# Finishing a row sets its status, even when it is finished again with the same status.
COUNT_FINISHES = """
CREATE TABLE IF NOT EXISTS chaos_finish (inference_id bigint);
TRUNCATE chaos_finish;
CREATE OR REPLACE FUNCTION chaos_count_finish() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO chaos_finish VALUES (NEW.id); RETURN NULL; END';
CREATE OR REPLACE TRIGGER chaos_finish AFTER UPDATE OF status ON classification_inference
    FOR EACH ROW WHEN (NEW.status NOT IN ('pending', 'processing')) EXECUTE FUNCTION chaos_count_finish();
"""

FINISHED_TWICE = "SELECT count(*) FROM (SELECT FROM chaos_finish GROUP BY inference_id HAVING count(*) > 1) AS twice"


def query(database_url: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(database_url, connect_timeout=CONNECT_TIMEOUT_S)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()
