"""`python -m native run` and `python -m native demo`: run all services here and classify a first photo."""

import argparse
import errno
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import FrameType

from . import postgres, sample
from .addresses import LOOPBACK_OF, web_url
from .environment import ROOT, RUN_DIR, CannotRunError, check_ports, is_debug, own_services
from .make_signals import watch_make
from .process import STOP_SIGNALS
from .readiness import MODEL
from .services import FOUNDATIONS, Services, prepared
from .supervisor import Supervisor

READY_TIMEOUT_S = 60
EXTERNAL_TIMEOUT_S = 5
WATCH_INTERVAL_S = 0.2


def say(text: str) -> None:
    with suppress(OSError):  # the services must stop even if the terminal is closed
        print(text, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m native", description=__doc__)
    parser.add_argument("command", choices=["run", "demo"], help="demo stops after the sample photo")
    demo = parser.parse_args().command == "demo"
    for number in STOP_SIGNALS:
        signal.signal(number, _stop)
    watch_make()
    os.chdir(ROOT)
    run_dir = Path(os.environ.get("RUN_DIR") or RUN_DIR).resolve()
    try:
        return run(run_dir, demo=demo)
    except CannotRunError as error:
        say(f"\n{error}")
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            say(f"\nNo space left on the disk ({error.filename or run_dir}): free some and run the same command again.")
        elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}:
            say(
                f"\nCannot write {error.filename or run_dir} ({error.strerror}): "
                "the checkout must belong to the user who runs it."
            )
        else:
            raise
    return 1


def run(run_dir: Path, *, demo: bool) -> int:
    """Run the services, and return the exit code. A stop signal raises SystemExit. Stops all it started before that."""
    begin = time.monotonic()
    at_terminal = sys.stdout.isatty()

    def step(text: str) -> None:
        say(f"{time.monotonic() - begin:5.1f} s  {text}")

    with prepared(run_dir, os.environ, echo=is_debug(os.environ)) as services:
        env = services.env
        own = own_services(services.commands, os.environ)
        if services.leftovers:
            step("stopped the leftovers of a killed run")
        check_ports(own, env)
        build_model(services, own, step)
        if "postgres" in own and postgres.is_new(run_dir):
            step("creating the PostgreSQL data folder (once)" + root_mode_note(run_dir))
        start(services, own, step)
        base_url = web_url(env)
        token = "" if allows_anonymous(env) else make_token(services)
        answers = []
        for classify in (sample.classify_at_once, sample.classify_through_queue):
            services.check()
            answers.append(classify(base_url, token))
        step("received both answers")
        services.start("webhook_worker")
        services.start("beat")
        services.start("flower")
        services.start("metrics")
        services.wait_until_ready("flower", "metrics", timeout_s=READY_TIMEOUT_S)
        step(f"all {len(own)} services run\n")
        say(f"{sample.PHOTO.relative_to(ROOT)}, model {MODEL}:")
        for answer in answers:
            wrong = "" if answer.is_right else f"   expected {sample.EXPECTED_LABEL}"
            say(f"  {answer.door}   {answer.label}   {answer.seconds * 1000:.0f} ms{wrong}")
        if demo:
            return verdict(answers)
        say(summary(env, base_url))
        supervisor = Supervisor(services, lambda text: say(f"{datetime.now().astimezone():%H:%M:%S}  {text}"))
        while not at_terminal or sys.stdout.isatty():  # make does not pass on the SIGHUP of a terminal that closes
            supervisor.look_after()
            time.sleep(WATCH_INTERVAL_S)
        return 128 + signal.SIGHUP


def build_model(services: Services, own: list[str], step: Callable[[str], None]) -> None:
    """Build the model if it is missing or outdated. The model zoo checks this immediately.

    Raises CannotRunError if the model cannot be built.
    """
    if "model_server" not in own:
        return
    step("model (built once)")
    done = subprocess.run(
        [sys.executable, "-m", "moon_vision_challenge.model_zoo", MODEL], cwd=ROOT, env=services.env, check=False
    )
    if done.returncode:
        raise CannotRunError(f"Could not build the model {MODEL}: the message above says why.")


def start(services: Services, own: list[str], step: Callable[[str], None]) -> None:
    """Start what requests need, and wait for it. Beat and Flower start later: they answer none and slow the start."""
    # The worker may start before the migrations: a row that it cannot process yet stays, and the sweep finds it again.
    for name in [name for name in own if name in {*FOUNDATIONS, "web", "worker"}]:
        services.start(name)
    for name in ("postgres", "redis"):
        services.wait_until_ready(name, timeout_s=READY_TIMEOUT_S if name in own else EXTERNAL_TIMEOUT_S)
    migrate(services)
    step("database ready")
    services.wait_until_ready("model_server", "web", "worker", timeout_s=READY_TIMEOUT_S)
    step("API ready")


def migrate(services: Services) -> None:
    """Migrate without Django's slower checks, which `make lint` runs. Raises CannotRunError with Django's output."""
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--noinput", "--skip-checks"],
        cwd=ROOT,
        env=services.env,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise CannotRunError(f"The database could not be migrated:\n{done.stdout[-2000:]}")


def allows_anonymous(env: Mapping[str, str]) -> bool:
    """Return whether callers need no token. Reads the variable as Django does."""
    return env["DJANGO_API_ALLOW_ANONYMOUS"].lower() in {"true", "on", "ok", "y", "yes", "1"}


def make_token(services: Services) -> str:
    """Return a token for the sample photo. Raises CannotRunError with Django's output."""
    command = ["create_api_token", f"run-{time.time_ns()}", "--owner=make-run", "--expires=10m"]
    done = subprocess.run(
        [sys.executable, "manage.py", *command, "--skip-checks"],
        cwd=ROOT,
        env=services.env,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise CannotRunError(f"The API token could not be created:\n{done.stderr[-2000:]}")
    return done.stdout.strip()


def root_mode_note(run_dir: Path) -> str:
    if os.geteuid() != 0:
        return ""
    return (
        f"\n         PostgreSQL does not run as root: its data and programs are in {postgres.folder(run_dir).parent},"
        "\n         which its own account can reach. Nothing else is written outside the checkout."
    )


def verdict(answers: list[sample.Answer]) -> int:
    """Print how many labels are right, and return the exit code: 0 only if all are."""
    passed = sum(answer.is_right for answer in answers)
    say(f"\n{passed} passed, {len(answers) - passed} failed")
    return 0 if passed == len(answers) else 1


def summary(env: dict[str, str], base_url: str) -> str:
    return f"""
  Page     {base_url}/
  API      {base_url}/api/docs/
  Admin    {base_url}/admin/    (create an account with: make manage ARGS=createsuperuser)
  Flower   http://127.0.0.1:{env["FLOWER_PORT"]}/    (login: {env["FLOWER_BASIC_AUTH"].replace(":", ", password ", 1)})
  Metrics  http://127.0.0.1:{env["METRICS_PORT"]}/metrics
  Logs     tail -F {shlex.quote(env["RUN_DIR"])}/logs/*.log
  Try      {sample.curl(base_url, with_token=not allows_anonymous(env))}
  Access   {who_may_call(env)}
{answers_to(env)}
Ctrl-C stops everything; the data stays for the next run."""


def who_may_call(env: Mapping[str, str]) -> str:
    if allows_anonymous(env):
        return "everyone who reaches the API; callers without a token see each other's inferences (make token: a token)"
    return "callers with a token (make token)"


def answers_to(env: dict[str, str]) -> str:
    if env["WEB_HOST"] not in LOOPBACK_OF:
        return ""
    return f"""
  The API accepts the host names {env["DJANGO_ALLOWED_HOSTS"].replace(",", ", ")}.
  Add yours: DJANGO_ALLOWED_HOSTS=vision.example.com WEB_HOST={env["WEB_HOST"]} make run
"""


def _stop(number: int, _frame: FrameType | None) -> None:
    for other in STOP_SIGNALS:
        signal.signal(other, signal.SIG_IGN)  # once is enough: the rest takes a bounded time
    say("\nStopping...")
    raise SystemExit(0 if number == signal.SIGINT else 128 + number)


if __name__ == "__main__":
    sys.exit(main())
