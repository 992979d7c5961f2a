import pytest

from config.tests.commands import run_python

pytestmark = pytest.mark.e2e  # each test or fixture starts an interpreter with the whole service

# In a separate process, because the patch of kombu lasts as long as the process.
SCRIPT = """
import logging
from config.celery_app import app, survive_the_loss_of_redis

PATCH
connection = app.connection()
channel = connection.channel()
channel.queue_declare("test-of-a-lost-connection")
channel.basic_publish(channel.prepare_message("{}"), exchange="", routing_key="test-of-a-lost-connection")
message = channel.basic_get("test-of-a-lost-connection")
channel.connection.client = None  # as kombu does when a connection breaks
channel.close()
message.HOW_log_error(logging.getLogger(), connection.connection_errors)
print("the worker goes on")
"""


@pytest.mark.parametrize("how", ["ack", "reject"])
def test_a_message_whose_connection_is_lost_does_not_end_the_worker(how: str) -> None:
    result = run_python("-c", SCRIPT.replace("HOW", how).replace("PATCH", "survive_the_loss_of_redis()"))
    assert result.stdout == "the worker goes on\n", result.stderr
    assert f"Couldn't {how}" in result.stderr


@pytest.mark.parametrize("how", ["ack", "reject"])
def test_kombu_still_needs_the_patch(how: str) -> None:
    """If this fails, kombu has fixed the bug: remove survive_the_loss_of_redis."""
    result = run_python("-c", SCRIPT.replace("HOW", how).replace("PATCH", ""))
    assert result.returncode == 1
    assert "AttributeError: 'NoneType' object has no attribute" in result.stderr
