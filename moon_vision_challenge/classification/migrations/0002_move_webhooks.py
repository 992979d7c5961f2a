from django.db import migrations

# Webhooks become a separate app. Pending deliveries keep their id, by which receivers recognise repeats.
COPY = """
INSERT INTO webhooks_webhookdelivery
    (id, subject_id, url, event, body, status, attempts, log, created_at, next_attempt_at)
SELECT id, inference_id, url, event, body, status, attempts, log, created_at, next_attempt_at
FROM classification_webhookdelivery;
INSERT INTO webhooks_disabledwebhook (url, disabled_at) SELECT url, disabled_at FROM classification_disabledwebhook;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("classification", "0001_initial"),
        ("webhooks", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL(COPY, migrations.RunSQL.noop),
        migrations.DeleteModel(name="DisabledWebhook"),
        migrations.DeleteModel(name="WebhookDelivery"),
    ]
