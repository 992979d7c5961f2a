import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Existing rows become the anonymous owner's. PostgreSQL neither rewrites nor reads the table for this."""

    dependencies = [
        ("accounts", "0001_initial"),
        ("classification", "0003_queue_columns"),
    ]

    operations = [
        migrations.AddField(
            model_name="inference",
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
    ]
