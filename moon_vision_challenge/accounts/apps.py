from django.apps import AppConfig
from django.db.models.signals import post_migrate

from moon_vision_challenge.accounts.caller import ANONYMOUS_OWNER_ID


class AccountsConfig(AppConfig):
    name = "moon_vision_challenge.accounts"

    def ready(self) -> None:
        post_migrate.connect(_create_anonymous_owner, sender=self)


def _create_anonymous_owner(sender: AppConfig, using: str, **_: object) -> None:
    """Not a migration: a test that empties the database needs the row again."""
    sender.get_model("Owner")._default_manager.using(using).get_or_create(
        pk=ANONYMOUS_OWNER_ID, defaults={"name": "anonymous"}
    )
