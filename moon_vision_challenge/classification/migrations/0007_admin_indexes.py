from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """Indexes for the admin's lists and for retention. Clients may create rows in the meantime."""

    atomic = False

    dependencies = [("classification", "0006_request_and_trace")]

    operations = [
        AddIndexConcurrently("inference", models.Index(fields=["created_at"], name="inference_created_at")),
        AddIndexConcurrently(
            "inference",
            models.Index(
                fields=["status", "created_at"], condition=models.Q(status__in=["fail", "canceled"]), name="inference_ended_badly"
            ),
        ),
    ]
