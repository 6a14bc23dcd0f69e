"""Rows from the driver to the workers, and what came of them back."""

import os
import signal
import threading
import time

import msgspec
import pytest

from helpers.echo_server import Echo

pytest.importorskip("ray.data")

from hfgen import AuthenticationError, BulkFileError, HfgenError
from hfgen._files.prompt import Prompt
from hfgen._files.row import Row
from hfgen.ray import _blocks
from hfgen.ray._blocks import RayBulk
from hfgen.ray._generate import make_plan
from hfgen.testing import status

pytestmark = pytest.mark.usefixtures("cluster")


def rows(count, *, problem=None):
    for i in range(count):
        yield Row(i, {"prompt": msgspec.Raw(b'"row %d"' % i), "n": msgspec.Raw(b"1.50")})
    if problem is not None:
        raise problem


def bulk(server, rows, *, request=None, workers=1, num_cpus=1.0):
    plan = make_plan(
        request or Prompt(),
        model=None,
        api_url=server.url,
        workers=workers,
        concurrency=8,
        rate_limit=None,
        stream=True,
        options={},
    )
    return RayBulk(rows, plan, workers=workers, rows_per_block=20, num_cpus=num_cpus)


def test_each_row_has_one_result_though_a_worker_is_killed(serve):
    echo = Echo(0.02)
    killed = []

    def answered(request):
        if not killed and echo.prompt_counts.total() >= 100:
            killed.append(int(request.json["inputs"].split()[0]))
            os.kill(killed[0], signal.SIGKILL)
        return echo(request)

    def with_process(row):
        return f"{os.getpid()} {row.value('prompt')}"

    server = serve(answered)
    results = bulk(server, rows(405), request=with_process, workers=2)
    with results:
        found = list(results)
    assert killed
    assert sorted(result.row.index for result in found) == list(range(405))
    for result in found:
        assert result.generated_text.partition(" ")[2] == f"ROW {result.row.index}"
        # To the last digit, as it came.
        assert bytes(result.row.columns["n"]) == b"1.50"
    statistics = results.statistics
    assert [each.url for each in statistics.servers] == [server.url]
    assert 0 < statistics.succeeded <= 405


def test_a_worker_that_was_lost_is_not_counted(serve, tmp_path):
    was_killed = tmp_path / "killed"
    echo = Echo(0.02)

    class Asks:
        """A request that takes long to arrive in a worker that is started again."""

        def __getstate__(self):
            return was_killed

        def __setstate__(self, was_killed):
            if was_killed.exists():
                time.sleep(60)

        def __call__(self, row):
            return f"{os.getpid()} {row.value('prompt')}"

    def answered(request):
        # Not before both are there: who starts from then on takes long.
        processes = {prompt.split()[0] for prompt in list(echo.prompt_counts)}
        if not was_killed.exists() and echo.prompt_counts.total() >= 100 and len(processes) == 2:
            was_killed.touch()
            os.kill(int(request.json["inputs"].split()[0]), signal.SIGKILL)
        return echo(request)

    results = bulk(serve(answered), rows(405), request=Asks(), workers=2)
    with results:
        assert len(list(results)) == 405
    assert was_killed.exists()
    assert 0 < results.statistics.succeeded <= 405
    # What was under way in it is so no more.
    assert results.statistics.in_flight == 0


def test_drained_it_ends_with_whole_blocks(serve):
    echo = Echo(0.02)
    server = serve(echo)
    found = []
    with bulk(server, rows(2000)) as results:
        for result in results:
            found.append(result)
            if len(found) == 1:
                results.drain()
    assert len(found) % 20 == 0
    # What had been begun is there, and no more was.
    assert len(found) == echo.prompt_counts.total() < 1000


def test_what_reading_raises_comes_after_what_was_read(serve):
    server = serve(Echo())
    results = bulk(server, rows(60, problem=BulkFileError("the file is torn")))
    found = []
    with results, pytest.raises(BulkFileError, match="torn"):
        found.extend(results)
    assert len(found) % 20 == 0


def test_a_key_that_no_server_takes_ends_it(serve):
    server = serve(status(401, '{"error": "no such key"}'))
    with bulk(server, rows(60)) as results, pytest.raises(AuthenticationError, match="no such"):
        list(results)


def test_left_in_the_middle_it_leaves_no_thread_that_may_call_ray(serve):
    before = set(threading.enumerate())
    server = serve(Echo(0.02))
    with bulk(server, rows(2000), workers=2) as results:
        assert next(iter(results)).error is None
    # The server's own end with the requests that the workers have dropped.
    assert {t.name for t in set(threading.enumerate()) - before if "hfgen" not in t.name} == set()
    assert list(results) == []


@pytest.mark.parametrize(("count", "workers"), [(60, 1), (10**9, 2)])
def test_rows_that_take_their_worker_with_them_end_it(serve, monkeypatch, count, workers):
    monkeypatch.setattr(_blocks, "_MAX_LOSSES", 3)

    def deadly(row):
        if row.index == 27:
            os._exit(1)
        return row.value("prompt")

    said = "3 workers were lost with rows 20 to 39, the last"
    with (
        bulk(serve(Echo()), rows(count), request=deadly, workers=workers) as results,
        pytest.raises(HfgenError, match=said),
    ):
        for _ in results:
            pass


class Unpacked:
    """Cannot be made where it is sent to."""

    def __reduce__(self):
        return os.readlink, ("/nowhere",)

    def __call__(self, row):
        raise AssertionError(row)


def test_workers_that_cannot_start_end_it(serve):
    said = r"(?s)no worker can be started: .*nowhere"
    with (
        bulk(serve(Echo()), rows(60), request=Unpacked(), workers=2) as results,
        pytest.raises(HfgenError, match=said),
    ):
        list(results)


def test_while_it_waits_for_room_in_the_cluster_it_can_be_ended(serve):
    server = serve(Echo())
    with bulk(server, rows(60), num_cpus=1000) as results:
        threading.Timer(0.2, results.drain).start()
        assert list(results) == []
    with bulk(server, rows(60), num_cpus=1000) as results:
        threading.Timer(0.2, results.close).start()
        assert list(results) == []
