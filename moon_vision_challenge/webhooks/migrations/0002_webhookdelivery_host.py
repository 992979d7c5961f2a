from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("webhooks", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="webhookdelivery",
            name="host",
            field=models.CharField(db_default="", default="", editable=False, max_length=255),
        ),
    ]
