"""During a rollout, two releases share the database, so each migration must suit the release before it.

A migration that removes or changes something that the earlier release may use gives its reason in an attribute of its
class:
`suits_the_release_before = "Release 0.3 does not read the column any more."`
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.postgres import operations as postgres
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

REASON = "suits_the_release_before"
# These migrations are older than the first release.
OLDER = {
    ("classification", "0002_move_webhooks"),
    ("classification", "0003_queue_columns"),
    ("classification", "0009_fair_claims"),
    ("webhooks", "0003_owners"),
}
_HARMLESS = (
    migrations.CreateModel,
    migrations.AlterModelOptions,
    migrations.AlterModelManagers,
    postgres.AddIndexConcurrently,
    postgres.RemoveIndexConcurrently,
    postgres.ValidateConstraint,
)
_LOCKS_THE_TABLE = (migrations.AddIndex, migrations.RemoveIndex, migrations.AddConstraint)


def objections(migration: migrations.Migration) -> Iterator[str]:
    """Yield a description of each operation that might break the release before."""
    new = {operation.name_lower for operation in migration.operations if isinstance(operation, migrations.CreateModel)}
    for operation in _in_the_database(migration.operations):
        if isinstance(operation, _HARMLESS) or getattr(operation, "model_name_lower", None) in new:
            continue
        if isinstance(operation, migrations.AddField) and _may_be_left_out(operation.field):
            continue
        locks = ", and locks the table meanwhile" if isinstance(operation, _LOCKS_THE_TABLE) else ""
        yield f"{operation.describe()}{locks}"


def _in_the_database(operations: Sequence[Operation]) -> Iterator[Operation]:
    for operation in operations:
        if isinstance(operation, migrations.SeparateDatabaseAndState):
            yield from operation.database_operations
        else:
            yield operation


def _may_be_left_out(field: "models.Field[object, object]") -> bool:
    """Return whether a release that does not know the field can INSERT rows without it."""
    return field.null or field.has_db_default() or field.many_to_many is True


def ours() -> list[migrations.Migration]:
    loader = MigrationLoader(None)
    return [
        migration
        for (app, _), migration in sorted((loader.disk_migrations or {}).items())
        if (Path(settings.ROOT_DIR) / "moon_vision_challenge" / app).is_dir()
    ]


@pytest.mark.parametrize("migration", ours(), ids=str)
def test_a_migration_suits_the_release_before_it(migration: migrations.Migration) -> None:
    found = list(objections(migration))
    is_excused = bool(getattr(migration, REASON, "")) or (migration.app_label, migration.name) in OLDER
    assert is_excused or not found
    assert found or not is_excused, "nothing needs to be excused"


@pytest.mark.parametrize(
    ("operation", "is_refused"),
    [
        (migrations.AddField("inference", "x", models.TextField(db_default="")), False),
        (migrations.AddField("inference", "x", models.TextField(null=True)), False),
        (migrations.AddField("inference", "x", models.TextField(default="")), True),
        (migrations.RemoveField("inference", "label"), True),
        (migrations.RenameField("inference", "label", "answer"), True),
        (migrations.AlterField("inference", "label", models.CharField(max_length=10)), True),
        (migrations.DeleteModel("Inference"), True),
        (migrations.AddIndex("inference", models.Index(fields=["label"], name="x")), True),
        (migrations.RunSQL("UPDATE classification_inference SET label = ''"), True),
        (migrations.SeparateDatabaseAndState([migrations.RemoveField("inference", "label")]), True),
        (migrations.SeparateDatabaseAndState([], [migrations.RemoveField("inference", "label")]), False),
    ],
    ids=lambda value: value.__class__.__name__ if isinstance(value, Operation) else "",
)
def test_what_an_older_release_would_not_survive_is_refused(operation: Operation, is_refused: bool) -> None:
    migration = type("Migration", (migrations.Migration,), {"operations": [operation]})("0001", "classification")
    assert bool(list(objections(migration))) == is_refused
