from django.apps import AppConfig
from django.core import checks


class ClassificationConfig(AppConfig):
    name = "moon_vision_challenge.classification"

    def ready(self) -> None:
        # Models can be imported only after all apps are loaded.
        from moon_vision_challenge.classification import checks as models_checks
        from moon_vision_challenge.classification.dispatchers import dispatcher

        dispatcher.autodiscover()
        checks.register(models_checks.check_models_config, "classification")
        checks.register(models_checks.check_declarations, "classification")
        checks.register(models_checks.check_served_models, "classification")
