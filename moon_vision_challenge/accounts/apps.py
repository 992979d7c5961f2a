from django.apps import AppConfig
from django.apps.registry import Apps
from django.apps.registry import apps as installed
from django.db.models.signals import post_migrate

from moon_vision_challenge.accounts.caller import ANONYMOUS_OWNER_ID


class AccountsConfig(AppConfig):
    name = "moon_vision_challenge.accounts"

    def ready(self) -> None:
        post_migrate.connect(create_anonymous_owner, sender=self)


def create_anonymous_owner(using: str, apps: Apps = installed, **_: object) -> None:
    """Create the row here and not in a migration, because a test that empties the database needs it again."""
    try:
        owner = apps.get_model("accounts", "Owner")
    except LookupError:  # the migrations of this app have not been applied
        return
    owner._default_manager.using(using).get_or_create(pk=ANONYMOUS_OWNER_ID, defaults={"name": "anonymous"})
