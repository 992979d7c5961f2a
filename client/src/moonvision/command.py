"""`moonvision`: classifies images from a shell."""

import argparse
import getpass
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text

from moonvision import images, job_commands, outputs, settings
from moonvision.client import Client
from moonvision.errors import AuthenticationError, MoonVisionError, RejectedError, ServiceUnavailableError

EXIT_FAILED = 1  # at least one image could not be classified
EXIT_USAGE = 2  # argparse also uses it
EXIT_UNAVAILABLE = 3
EXIT_AUTHENTICATION = 4
EXIT_INTERRUPTED = 130

_EPILOG = """exit codes: 0 all images are classified; 1 at least one could not be; 2 wrong usage; 3 the service is not
available (run the same command again to continue a file); 4 the token is missing or wrong.

environment: MOONVISION_URL, MOONVISION_TOKEN"""


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    outputs.prepare_stdout()
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except AuthenticationError as error:
        return _fail(f"{error} Run `moonvision login`, or set MOONVISION_TOKEN.", EXIT_AUTHENTICATION)
    except ServiceUnavailableError as error:
        advice = "Check its address, or run the same command again later."
        return _fail(f"The service is not available: {error}. {advice}", EXIT_UNAVAILABLE)
    except RejectedError as error:
        return _fail(str(error), EXIT_USAGE if error.fields else EXIT_FAILED)
    except MoonVisionError as error:
        return _fail(str(error), EXIT_USAGE)
    except KeyboardInterrupt:
        return _fail("Interrupted.", EXIT_INTERRUPTED)
    except BrokenPipeError:  # `moonvision … | head`
        _drop_output()
        return 0
    except OSError as error:  # such as a full disk
        _drop_output()
        return _fail(f"Cannot write: {error}", EXIT_USAGE)
    except EOFError:
        return _fail("Standard input ended. Give the address with --url, and the token in the first line.", EXIT_USAGE)
    return code


def run() -> NoReturn:
    """Run the command, and exit. After Ctrl-C, do not wait for the requests that are in flight."""
    code = main()
    if code == EXIT_INTERRUPTED:
        os._exit(code)
    sys.exit(code)


def _drop_output() -> None:
    """Discard the buffered output. Writing it would fail again at the end of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(text: str, code: int) -> int:
    print(text, file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="moonvision",
        description="Classify pictures with a Moon Vision Challenge service.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, help_text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help_text, description=help_text)
        added.set_defaults(run=run)
        added.add_argument("--url", help="address of the service (default: MOONVISION_URL, or of `moonvision login`)")
        return added

    _add_classify(
        command("classify", _classify, "Classify files, folders, patterns, addresses, or standard input (-).")
    )
    command("models", _list_models, "List the models and their state.")
    status = command("status", _show_status, "Show an inference of the queue as JSON.")
    status.add_argument("id", type=int)
    status.add_argument("--wait", action="store_true", help="wait until it is final")
    job_commands.add(commands)
    command("login", _login, "Store the address of the service and a token, for your user only.")
    return parser


def _add_classify(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("photos", nargs="+", metavar="PHOTO")
    add("--model", required=True, metavar="MODEL_TYPE", help="`moonvision models` lists them")
    add("--top", type=_positive, default=1, metavar="K", help="number of classes to return (default: %(default)s)")
    add("--queue", action="store_true", help="through the queue (v1) instead of at once (v0)")
    add("--format", choices=tuple(outputs.FORMATS), help="default: table; with --output, by the file's suffix")
    add("--output", type=Path, metavar="FILE", help=".csv or .jsonl; a second run continues it")
    add(
        "--concurrency", type=_positive, default=8, metavar="N", help="requests at the same time (default: %(default)s)"
    )
    add("--give-up", type=float, default=300, metavar="SECONDS", help="how long to retry (default: %(default)s)")
    add("--quiet", action="store_true", help="no progress bar")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def _classify(options: argparse.Namespace) -> int:
    format_name = _format_name(options)
    failed = 0
    if not options.output:
        outputs.begin(format_name)
    with ExitStack() as stack:
        file = stack.enter_context(outputs.ResultFile(options.output, format_name)) if options.output else None
        found = list(images.find(options.photos))
        todo = [image for image in found if file is None or not file.has(image.name)]
        client = stack.enter_context(Client(options.url, give_up_s=options.give_up))
        advance = stack.enter_context(_progress(len(found), len(found) - len(todo), is_quiet=options.quiet))
        results = client.classify_many(
            todo, options.model, top_k=options.top, concurrency=options.concurrency, through_queue=options.queue
        )
        for result in results:
            failed += result.error is not None
            row = outputs.record(result)
            if file:
                file.write(row)
            else:
                sys.stdout.write(outputs.FORMATS[format_name](row))
                sys.stdout.flush()
            advance()
    if failed:
        print(f"{failed} of {len(found)} images could not be classified.", file=sys.stderr)
    return EXIT_FAILED if failed else 0


def _format_name(options: argparse.Namespace) -> str:
    if options.format and not (options.output and options.format == "table"):
        return str(options.format)
    if options.output is None:
        return "table"
    suffix = options.output.suffix.removeprefix(".").lower()
    if suffix not in {"csv", "jsonl"}:
        raise MoonVisionError(f"{options.output}: choose --format csv or --format jsonl, or a file with that suffix.")
    return str(suffix)


def _progress(total: int, done: int, *, is_quiet: bool) -> AbstractContextManager[Callable[[], object]]:
    """Yield a function to call after each image. On a terminal, show a bar with the rate and the remaining time."""
    console = Console(stderr=True)
    if is_quiet or not console.is_terminal or total < 2:
        return nullcontext(lambda: None)
    return _bar(console, total, done)


@contextmanager
def _bar(console: Console, total: int, done: int) -> Iterator[Callable[[], object]]:
    columns = (BarColumn(), MofNCompleteColumn(), _RateColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total, completed=done)
        yield lambda: progress.advance(task)


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f} images/s" if task.speed else "")


def _list_models(options: argparse.Namespace) -> int:
    with Client(options.url, give_up_s=10) as client:
        for model in client.models():
            reason = f"\t{model.reason}" if model.reason else ""
            print(f"{model.model_type}\t{'ready' if model.is_ready else model.state}{reason}")
    return 0


def _show_status(options: argparse.Namespace) -> int:
    with Client(options.url, give_up_s=60) as client:
        inference = client.wait(options.id, timeout_s=24 * 3600) if options.wait else client.get(options.id)
    print(json.dumps(inference.body, indent=2, ensure_ascii=False))
    return EXIT_FAILED if inference.status in {"fail", "canceled"} else 0


def _login(options: argparse.Namespace) -> int:
    url = options.url or os.environ.get("MOONVISION_URL") or input(f"Address of the service [{settings.DEFAULT_URL}]: ")
    is_terminal = sys.stdin.isatty()
    token = getpass.getpass("Token: ") if is_terminal else sys.stdin.readline()
    account = settings.read(url=url or settings.DEFAULT_URL, token=token.strip())
    with Client(account.url, account.token, give_up_s=10) as client:
        client.models()
    settings.store(account)
    print(f"Stored for {account.url} in {settings.path()}.")
    return 0


def _version() -> str:
    try:
        return version("moonvision")
    except PackageNotFoundError:  # run from source
        return "unknown"
