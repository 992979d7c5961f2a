from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "moon_vision_challenge.jobs"

    def ready(self) -> None:
        # Models can be imported only after all apps are loaded.
        from moon_vision_challenge.classification import events
        from moon_vision_challenge.jobs import endings

        events.rows_of_jobs_ended.connect(endings.on_rows_ended)
