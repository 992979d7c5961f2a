from django.db import migrations, models


class Migration(migrations.Migration):
    """The database fills the new columns of old rows without rewriting the table."""

    dependencies = [("classification", "0007_admin_indexes")]

    operations = [
        migrations.AddField("inference", "job_id", models.BigIntegerField(editable=False, null=True)),
        migrations.AddField(
            "inference", "name", models.CharField(db_default="", default="", editable=False, max_length=500)
        ),
        migrations.AddField("inference", "position", models.PositiveIntegerField(editable=False, null=True)),
        migrations.AddField("inference", "turn", models.BigIntegerField(db_default=0, default=0, editable=False)),
    ]
