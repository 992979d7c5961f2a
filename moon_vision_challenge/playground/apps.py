from django.apps import AppConfig


class PlaygroundConfig(AppConfig):
    name = "moon_vision_challenge.playground"
