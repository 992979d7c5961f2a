"""A short run of `python -m chaos.machines releases`."""

import pytest

from chaos.machines import two_releases


@pytest.mark.e2e
def test_web_and_workers_of_two_releases_work_together(monkeypatch: pytest.MonkeyPatch) -> None:
    if reason := two_releases.why_not():
        pytest.skip(reason)
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")  # the stack has the usual settings, not those of the tests
    promises = two_releases.run(seconds=4)
    assert [what for what, holds in promises.items() if not holds] == []
    assert promises


def test_a_clone_without_the_release_before_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(two_releases, "RELEASE_BEFORE", "0" * 40)
    assert two_releases.run() == {}
    assert "Skipped. This clone does not have the release before, 0000000." in capsys.readouterr().out
