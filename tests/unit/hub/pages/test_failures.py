"""Of a start that failed the user reads the cause and the log's end, an admin also what the hub knows."""

import asyncio

from jupyterhub import orm
from jupyterhub.spawner import SimpleLocalProcessSpawner, SpawnException
from tornado.web import HTTPError

from hubwright.hub.pages import failures


def test_a_refusal_is_told_in_its_own_words():
    found = failures.told(SpawnException("There is no size Huge for ada.", reason="x", status_code=403))
    assert found.cause == "There is no size Huge for ada."
    assert found.log == ""
    assert "SpawnException" in found.detail


def test_the_log_is_told_apart_from_the_cause():
    error = SpawnException("The server ended while it started. Its log ends:\nline 1\nline 2\n", reason="ended")
    found = failures.told(error)
    assert found.cause == "The server ended while it started."
    assert found.log == "line 1\nline 2"


def test_what_is_no_refusal_is_for_admins_only():
    try:
        try:
            raise OSError("secret path /srv/x")
        except OSError as cause:
            raise RuntimeError("unexpected") from cause
    except RuntimeError as error:
        found = failures.told(error)
    assert found.cause == ""
    assert "secret path /srv/x" in found.detail
    assert "RuntimeError: unexpected" in found.detail


def test_timeouts_and_http_errors_have_words():
    assert "did not answer in time" in failures.told(TimeoutError()).cause
    assert failures.told(HTTPError(403, "No %s", "way")).cause == "No way"
    assert failures.told(HTTPError(500)).cause == ""
    assert failures.told(None) == failures.Failure("")


async def test_only_a_server_that_failed_has_a_failure():
    server = SimpleLocalProcessSpawner()
    assert failures.of(server) is None
    server._spawn_future = asyncio.Future()
    server._spawn_future.set_exception(SpawnException("No.", reason="x"))
    found = failures.of(server)
    assert found and found.cause == "No."
    server._spawn_pending = True  # started again
    assert failures.of(server) is None
    assert failures.of(orm.Spawner(name="of the database only")) is None
