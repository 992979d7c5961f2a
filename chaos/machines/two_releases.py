"""During a rollout, web and workers of two releases share the database, Redis, and the image store."""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from honcho.environ import parse_procfile

from chaos.machines.consumers import ENVIRONMENT, Consumers, receiver
from chaos.machines.stage import CLIENTS, Load, staged, start_clients
from chaos.rows import COUNT_FINISHES, FINISHED_TWICE, query
from native.environment import ROOT, RUN_DIR
from native.services import Services

RELEASE_BEFORE = "71be35aaa55794d9a20b5d8398f4eb83a8eedc55"
"""The tag or commit of the last release. CONTRIBUTING.md says when it changes."""
SECONDS = 20.0
FOLDER = RUN_DIR / "machines" / "release-before"
_USUAL_CODES = {"200", "201", "202", "204", "409"}  # a worker may be faster than a client that cancels
_TASKS = """
import json
from config.celery_app import app
app.loader.import_default_modules()
print(json.dumps([sorted(app.tasks), [each["task"] for each in app.conf.beat_schedule.values()]]))
"""


def why_not() -> str:
    """Return why this clone cannot try it, or an empty string if it can."""
    command = ["git", "cat-file", "-e", f"{RELEASE_BEFORE}^{{commit}}"]
    found = subprocess.run(command, cwd=ROOT, check=False, capture_output=True)
    return f"This clone does not have the release before, {RELEASE_BEFORE[:7]}." if found.returncode else ""


def run(seconds: float = SECONDS) -> dict[str, bool]:
    if reason := why_not():
        print(f"Skipped. {reason} Fetch it with git fetch --unshallow, and try again.")
        return {}
    with _checked_out() as folder, staged("releases", ENVIRONMENT) as services, receiver() as inbox:
        # The form that every release understands
        services.env["TF_SERVING_URL"] = services.env["TF_SERVING_URL"].removesuffix("/v2")
        query(services.env["DATABASE_URL"], COUNT_FINISHES)
        promises = _compare_tasks(folder, services)
        newer = dict(services.commands)
        procfile = parse_procfile((folder / "Procfile").read_text()).processes
        older = {name: f"env -C {shlex.quote(str(folder))} {command}" for name, command in procfile.items()}
        consumers = Consumers(services, inbox)
        halves = {"older web, newer workers": (older, newer), "newer web, older workers": (newer, older)}
        for who, (web, workers) in halves.items():
            services.commands |= {name: (web if name == "web" else workers)[name] for name in CLIENTS}
            promises |= {f"{who}: {what}": holds for what, holds in _try(services, consumers, seconds).items()}
        promises["no row was finished twice"] = query(services.env["DATABASE_URL"], FINISHED_TWICE) == [(0,)]
    return {f"two releases: {what}": holds for what, holds in promises.items()}


def _try(services: Services, consumers: Consumers, seconds: float) -> dict[str, bool]:
    start_clients(services)
    load = Load(services, seconds, consumers.questions())
    promises = load.finish() | consumers.promises()
    complaints = list(_complaints(services))
    services.stop(*CLIENTS)
    print("".join(complaints[:20]))
    return promises | {
        "no answer is an error": load.codes <= _USUAL_CODES,
        "no log has an error": not complaints,
    }


def _complaints(services: Services) -> Iterator[str]:
    for name in CLIENTS:
        with services.log(name).open(errors="replace") as lines:
            yield from (f"{name}: {line}" for line in lines if "ERROR" in line or "Traceback" in line)


def _compare_tasks(folder: Path, services: Services) -> dict[str, bool]:
    """Compare the tasks of the releases. Workers drop messages of unknown tasks. Beat resends the periodic ones."""
    (ours, periodic), (theirs, _) = (_tasks(each, services.env) for each in (ROOT, folder))
    print(f"tasks that are new: {sorted(ours - theirs)}, and gone: {sorted(theirs - ours)}")
    return {
        "the older workers know each task that is not periodic": ours - theirs <= periodic,
        "the newer workers know each task": theirs <= ours,
    }


def _tasks(folder: Path, env: Mapping[str, str]) -> tuple[set[str], set[str]]:
    """Return the names of all tasks of a release, and of those that beat sends."""
    done = subprocess.run([sys.executable, "-c", _TASKS], cwd=folder, env=env, check=True, stdout=subprocess.PIPE)
    known, periodic = json.loads(done.stdout)
    return set(known), set(periodic)


@contextmanager
def _checked_out() -> Iterator[Path]:
    """Yield the files of that release, with the models of this one."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    with subprocess.Popen(["git", "archive", RELEASE_BEFORE], cwd=ROOT, stdout=subprocess.PIPE) as archive:
        subprocess.run(["tar", "-x", "-C", str(FOLDER)], stdin=archive.stdout, check=True)
    (FOLDER / "models").symlink_to(ROOT / "models")
    try:
        yield FOLDER
    finally:
        shutil.rmtree(FOLDER)
