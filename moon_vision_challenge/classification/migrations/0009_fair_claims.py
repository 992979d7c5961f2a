from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models import Q

PENDING = Q(status="pending")

ADD_CONSTRAINT = """
CREATE UNIQUE INDEX CONCURRENTLY inference_of_job ON classification_inference (job_id, position) INCLUDE (status)
WHERE job_id IS NOT NULL
"""


class Migration(migrations.Migration):
    """Replaces the indexes of claims. Clients may create rows in the meantime."""

    atomic = False

    dependencies = [("classification", "0008_jobs")]

    operations = [
        AddIndexConcurrently(
            "inference",
            models.Index(fields=["queue", "turn", "available_at"], condition=PENDING, name="inference_next"),
        ),
        AddIndexConcurrently(
            "inference",
            models.Index(
                fields=["queue", "model_type", "turn", "available_at"], condition=PENDING, name="inference_next_of_type"
            ),
        ),
        AddIndexConcurrently(
            "inference",
            models.Index(fields=["queue", "owner", "turn"], condition=PENDING, name="inference_next_of_owner"),
        ),
        AddIndexConcurrently(
            "inference",
            models.Index(
                fields=["job_id", "position"],
                condition=Q(job_id__isnull=False, status__in=["pending", "processing"]),
                name="inference_open_in_job",
            ),
        ),
        # Django would lock the table for it.
        migrations.SeparateDatabaseAndState(
            [migrations.RunSQL(ADD_CONSTRAINT, "DROP INDEX CONCURRENTLY inference_of_job")],
            [
                migrations.AddConstraint(
                    "inference",
                    models.UniqueConstraint(
                        fields=["job_id", "position"],
                        include=["status"],
                        condition=Q(job_id__isnull=False),
                        name="inference_of_job",
                    ),
                )
            ],
        ),
        RemoveIndexConcurrently("inference", "inference_waiting"),
        RemoveIndexConcurrently("inference", "inference_waiting_by_type"),
    ]
