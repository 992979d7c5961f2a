"""`python -m chaos.fuzz`: runs coverage-guided fuzzing for hours on the code that reads the structure of images.

It needs atheris, which is not among the requirements: `.venv/bin/uv pip install atheris`. All options are libFuzzer's,
such as `-max_total_time=600`. Inputs that reach new code are kept in .run/fuzz, beside the seeds. Those that crash
are written to the working directory.
"""

import os
import sys

import atheris
import django

from native.environment import RUN_DIR

_FOLDER = RUN_DIR / "fuzz"
_MAX_SEED_BYTES = 10_000
_ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "config.settings.test",
    "DATABASE_URL": "postgres://u:p@127.0.0.1:1/n",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "TF_SERVING_URL": "http://127.0.0.1:1",
}
"""The variables that the settings require. Nothing connects to these addresses."""


def write_seeds() -> None:
    """Write small images of the corpus."""
    from chaos.corpus import CASES  # noqa: PLC0415  # after django.setup

    _FOLDER.mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(CASES):
        if case.name.startswith(("sound", "bmp", "boundary", "items")) and len(data := case.make()) < _MAX_SEED_BYTES:
            (_FOLDER / f"seed-{number}").write_bytes(data)


def main() -> None:
    os.environ.update(_ENVIRONMENT)
    with atheris.instrument_imports(include=["moon_vision_challenge.classification.images"]):
        django.setup()  # here, because it imports that package, which would not be instrumented later
        from moon_vision_challenge.classification.exceptions import InvalidImageError  # noqa: PLC0415
        from moon_vision_challenge.classification.images import open_image  # noqa: PLC0415

    def try_bytes(data: bytes) -> None:
        try:
            open_image(data)
        except InvalidImageError:
            return

    write_seeds()
    atheris.Setup([sys.argv[0], "-max_len=20000", *sys.argv[1:], str(_FOLDER)], try_bytes)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
