"""`moonvision jobs`: many images in one request."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from moonvision import outputs
from moonvision.client import Client
from moonvision.jobs import Job

EXIT_FAILED = 1
_WAIT_S = 10
_POLL_S = 1.0


def add(commands: Any) -> None:
    """Add the command and its subcommands to those of `moonvision`."""
    parser = commands.add_parser("jobs", help="Classify whole folders and archives in one request.")
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    def action(name: str, run: Callable[[argparse.Namespace], int], help_text: str) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = actions.add_parser(name, help=help_text, description=help_text)
        added.set_defaults(run=run)
        added.add_argument("--url", help="address of the service (default: MOONVISION_URL, or of `moonvision login`)")
        return added

    create = action("create", _create, "Send a folder, or a zip, tar, or tar.gz file. Prints the id of the job.")
    create.add_argument("source", type=Path, metavar="FOLDER_OR_ARCHIVE")
    create.add_argument("--model", required=True, metavar="MODEL_TYPE", help="`moonvision models` lists them")
    create.add_argument("--top", type=int, default=1, choices=range(1, 6), help="classes in the results (default: 1)")
    create.add_argument("--wait", action="store_true", help="wait until the job has ended")
    action("list", _list, "List your newest jobs.")
    for name, run, help_text in (
        ("status", _status, "Show a job as JSON."),
        ("cancel", _cancel, "Cancel the images that no worker has started."),
        ("delete", _delete, "Delete a job with all its images."),
        ("results", _results, "Print the results, or write them to a file."),
    ):
        action(name, run, help_text).add_argument("id", type=int)
    actions.choices["status"].add_argument("--wait", action="store_true", help="wait until the job has ended")
    results = actions.choices["results"]
    results.add_argument("--format", choices=tuple(outputs.FORMATS), default="table", help="default: table")


def _create(options: argparse.Namespace) -> int:
    with Client(options.url, timeout_s=900) as client:
        job = client.create_job(options.source, options.model, top_k=options.top)
        print(job.id)
        return _exit_code(_wait(client, job)) if options.wait else 0


def _list(options: argparse.Namespace) -> int:
    with Client(options.url, give_up_s=60) as client:
        for job in client.jobs():
            print(f"{job.id}\t{job.status}\t{job.total}\t{job.body['model_type']}\t{job.body['created_at']}")
    return 0


def _status(options: argparse.Namespace) -> int:
    with Client(options.url, give_up_s=60) as client:
        job = client.get_job(options.id)
        job = _wait(client, job) if options.wait else job
    return _show(job)


def _cancel(options: argparse.Namespace) -> int:
    with Client(options.url, give_up_s=60) as client:
        _show(client.cancel_job(options.id))
    return 0


def _delete(options: argparse.Namespace) -> int:
    with Client(options.url, give_up_s=60) as client:
        _show(client.delete_job(options.id))
    return 0


def _results(options: argparse.Namespace) -> int:
    outputs.begin(options.format)
    with Client(options.url) as client:
        for found in client.job_results(options.id):
            error = found["error"] or {}
            row = {
                "image": found["name"],
                "label": found["label"],
                "score": found["score"],
                "error": error.get("detail", "" if found["status"] == "done" else found["status"]),
                "predictions": found["predictions"],
            }
            sys.stdout.write(outputs.FORMATS[options.format](row))
    return 0


def _wait(client: Client, job: Job) -> Job:
    """Wait until the job is final. On a terminal, show a bar with the remaining time."""
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=job.total)
        while not job.is_final:
            begin = time.monotonic()
            job = client.get_job(job.id, wait_s=_WAIT_S)
            progress.update(
                task, completed=job.total - sum(job.counts.get(each, 0) for each in ("pending", "processing"))
            )
            time.sleep(max(0.0, begin + _POLL_S - time.monotonic()))
    return job


def _show(job: Job) -> int:
    print(json.dumps(job.body, indent=2, ensure_ascii=False))
    return _exit_code(job)


def _exit_code(job: Job) -> int:
    has_failed = job.status in {"fail", "canceled"} or (job.is_final and job.counts.get("fail", 0))
    return EXIT_FAILED if has_failed else 0
