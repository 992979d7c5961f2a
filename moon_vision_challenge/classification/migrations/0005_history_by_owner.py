from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """Replaces the indexes of the history. Clients may create rows in the meantime."""

    atomic = False

    dependencies = [("classification", "0004_owner")]

    operations = [
        AddIndexConcurrently("inference", models.Index(fields=["owner", "created_at"], name="inference_owner")),
        AddIndexConcurrently(
            "inference", models.Index(fields=["owner", "status", "created_at"], name="inference_owner_status")
        ),
        AddIndexConcurrently(
            "inference", models.Index(fields=["owner", "model_type", "created_at"], name="inference_owner_type")
        ),
        RemoveIndexConcurrently("inference", "inference_created"),
        RemoveIndexConcurrently("inference", "inference_by_status"),
        RemoveIndexConcurrently("inference", "inference_by_type"),
    ]
