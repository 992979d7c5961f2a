from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "moon_vision_challenge.webhooks"
