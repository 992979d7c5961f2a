import django.db.models.deletion
from django.db import migrations, models
from django.db.models.functions import Now

COPY_KEYS = """
INSERT INTO classification_idempotencykey (scope, key, payload_sha256, inference_id)
SELECT idempotency_scope, idempotency_key, payload_sha256, id
FROM classification_inference WHERE idempotency_key IS NOT NULL
"""


class Migration(migrations.Migration):
    dependencies = [("classification", "0002_move_webhooks")]

    operations = [
        migrations.CreateModel(
            name="IdempotencyKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("scope", models.CharField(max_length=64)),
                ("key", models.CharField(max_length=255)),
                ("payload_sha256", models.CharField(max_length=64)),
                (
                    "inference",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="classification.inference",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("scope", "key"), name="idempotency_key_is_unique"),
                ],
            },
        ),
        migrations.RunSQL(COPY_KEYS, migrations.RunSQL.noop),
        migrations.RemoveConstraint(model_name="inference", name="inference_idempotency"),
        migrations.RemoveField(model_name="inference", name="idempotency_key"),
        migrations.RemoveField(model_name="inference", name="idempotency_scope"),
        migrations.RemoveField(model_name="inference", name="payload_sha256"),
        migrations.CreateModel(
            name="Outage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("model_type", models.CharField(blank=True, max_length=100, unique=True)),
                ("since", models.DateTimeField(db_default=Now(), editable=False)),
                ("until", models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name="inference",
            name="claim_alone",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.AddField(
            model_name="inference",
            name="queue",
            field=models.CharField(db_default="inferences", default="inferences", editable=False, max_length=100),
        ),
        migrations.AddField(
            model_name="inference",
            name="unavailable_since",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AlterField(
            model_name="inference", name="label", field=models.TextField(blank=True, default="")
        ),
        migrations.RemoveIndex(model_name="inference", name="inference_waiting"),
        migrations.RemoveIndex(model_name="inference", name="inference_waiting_by_type"),
        migrations.AddIndex(
            model_name="inference",
            index=models.Index(
                condition=models.Q(("status", "pending")), fields=["queue", "available_at"], name="inference_waiting"
            ),
        ),
        migrations.AddIndex(
            model_name="inference",
            index=models.Index(
                condition=models.Q(("status", "pending")),
                fields=["queue", "model_type", "available_at"],
                name="inference_waiting_by_type",
            ),
        ),
    ]
