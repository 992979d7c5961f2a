import django.db.models.deletion
from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    """Existing rows become the anonymous owner's. PostgreSQL neither rewrites nor reads the tables for this."""

    dependencies = [
        ("accounts", "0001_initial"),
        ("webhooks", "0002_webhookdelivery_host"),
    ]

    operations = [
        migrations.AddField(
            model_name="webhookdelivery",
            name="owner",
            field=models.ForeignKey(
                db_constraint=False,
                db_default=models.Value(0),
                db_index=False,
                default=0,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.owner",
            ),
        ),
        migrations.AddField(
            model_name="disabledwebhook",
            name="owner",
            field=models.ForeignKey(
                db_constraint=False,
                db_default=models.Value(0),
                db_index=False,
                default=0,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.owner",
            ),
        ),
        migrations.AlterField(model_name="disabledwebhook", name="url", field=models.URLField(max_length=2000)),
        migrations.AddConstraint(
            model_name="disabledwebhook",
            constraint=models.UniqueConstraint(fields=("url", "owner"), name="webhook_is_disabled_once"),
        ),
        migrations.CreateModel(
            name="WebhookSecret",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("secret", models.CharField(editable=False, max_length=100)),
                ("created_at", models.DateTimeField(db_default=Now(), editable=False)),
                ("expires_at", models.DateTimeField(editable=False, null=True)),
                (
                    "owner",
                    models.ForeignKey(
                        db_constraint=False,
                        db_default=models.Value(0),
                        default=0,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.owner",
                    ),
                ),
            ],
        ),
    ]
