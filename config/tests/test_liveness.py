import json
from io import BytesIO
from wsgiref.util import setup_testing_defaults

from django.test import Client

from config.web_server import load


def test_the_web_server_answers_as_the_application_does(client: Client) -> None:
    """The server answers itself, so that a busy application counts as alive."""
    environ: dict[str, object] = {"wsgi.input": BytesIO()}
    setup_testing_defaults(environ)
    body = b"".join(load(threads=1).immediate[b"/livez"](environ, lambda *_: lambda _: None))
    assert json.loads(body) == client.get("/livez").json()
