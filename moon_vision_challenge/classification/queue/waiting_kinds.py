"""SQL that finds the kinds of waiting rows: each queue with each model type of its rows."""

# A loose index scan: its steps depend on the number of kinds, not on the number of waiting rows.
# https://wiki.postgresql.org/wiki/Loose_indexscan
WITH_KIND = """
WITH RECURSIVE kind AS (
    (SELECT queue, model_type FROM classification_inference
     WHERE status = 'pending' ORDER BY queue, model_type LIMIT 1)
    UNION ALL
    SELECT following.queue, following.model_type FROM kind, LATERAL (
        SELECT queue, model_type FROM classification_inference
        WHERE status = 'pending' AND (queue, model_type) > (kind.queue, kind.model_type)
        ORDER BY queue, model_type LIMIT 1
    ) AS following
)
"""
"""The beginning of a statement that reads the table `kind`, with the columns `queue` and `model_type`."""
