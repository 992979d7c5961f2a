"""docs/operations.md: its shell commands run, and its metrics are those that exist."""

import shlex
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from moon_vision_challenge.classification import tasks
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue.gauges import GAUGES, RETENTION_OVERDUE
from moon_vision_challenge.tests.documents import block, text

PAGE = "docs/operations.md"


@pytest.mark.django_db
def test_the_commands_for_the_shell_run_as_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tasks, "enqueue_inference", lambda _: None)
    for age_days, status in ((0, "fail"), (1, "pending"), (91, "done")):
        created_at = timezone.now() - timedelta(days=age_days)
        Inference.objects.create(model_type="resnet", status=status, created_at=created_at)
    shown = []
    for line in block(PAGE, "sh", "manage.py").splitlines():
        python, manage, *arguments = shlex.split(line, comments=True)
        assert (python, manage) == ("python", "manage.py")
        call_command(*arguments)
        shown.append(capsys.readouterr().out.strip())
    assert shown[3:] == ["1 are pending again.", "1 are canceled.", "1 would be deleted.", "1 are deleted."]
    assert "QUEUE" in shown[0]
    assert shown[1].startswith("[{")
    assert " fail " in shown[2]


@pytest.mark.parametrize("name", [RETENTION_OVERDUE, *(name for name, _ in GAUGES)])
def test_every_gauge_of_the_queue_is_listed(name: str) -> None:
    assert f"`{name}`" in text(PAGE)
