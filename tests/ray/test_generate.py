"""`hfgen.ray.generate` on a real Ray, against a real server in this process."""

import os
import signal

import pytest

from helpers.echo_server import Echo

pytest.importorskip("ray.data")

import pyarrow as pa
import ray
from ray.exceptions import RayTaskError

import hfgen.ray
from hfgen import InvalidRequestError
from hfgen.testing import status

pytestmark = pytest.mark.usefixtures("cluster")


def dataset(rows, *, blocks=4):
    table = pa.Table.from_pylist([{"id": i, **row} for i, row in enumerate(rows)])
    size = -(-len(rows) // blocks)
    return ray.data.from_arrow([table.slice(size * i, size) for i in range(blocks)])


def by_id(rows):
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row for row in rows}


def test_each_row_comes_out_once_with_its_text_or_its_error(serve):
    echo = Echo(0.02)
    server = serve(echo)
    rows = [{"text": f"row {i}", "error": "of old"} for i in range(400)]
    for i in range(0, 400, 40):
        rows[i]["text"] = f"bad {i}"
    rows[7]["text"] = None
    answered = hfgen.ray.generate(
        dataset(rows, blocks=16),
        api_url=server.url,
        template="{text}!",
        parameters={"max_new_tokens": 3},
        workers=2,
        rows_per_block=32,
        concurrency=9,
    )
    tables = list(answered.iter_batches(batch_size=None, batch_format="pyarrow"))

    # In every block they are the same, also where nothing failed.
    assert len({table.schema.remove_metadata() for table in tables}) == 1
    # However the input was cut up.
    assert sorted(table.num_rows for table in tables) == [16, *[32] * 12]
    found = by_id([row for table in tables for row in table.to_pylist()])
    assert found.keys() == set(range(400))
    for i, row in found.items():
        assert row["text"] == rows[i]["text"]
        if i % 40 == 0:
            assert row["generated_text"] is None
            assert row["error"] == {
                "type": "ValidationError",
                "message": row["error"]["message"],
                "status": 422,
                "attempts": 1,
            }
        elif i == 7:
            assert row["error"]["type"] == "InvalidRequestError"
            assert (row["error"]["status"], row["error"]["attempts"]) == (None, 0)
        else:
            assert row["error"] is None
            assert row["generated_text"] == f"ROW {i}!"
            assert (row["finish_reason"], row["generated_tokens"]) == ("length", 1)
    assert set(echo.prompt_counts.values()) == {1}
    assert server.requests[0].json["parameters"]["max_new_tokens"] == 3
    # Four each: nine cannot be halved.
    assert 4 < echo.most_open <= 8


def test_a_worker_that_is_killed_loses_nothing_and_doubles_nothing(serve):
    echo = Echo(0.02)
    killed = []

    def answered(request):
        if not killed and echo.prompt_counts.total() >= 150:
            killed.append(int(request.json["inputs"].split()[0]))
            os.kill(killed[0], signal.SIGKILL)
        return echo(request)

    def with_process(row):
        return f"{os.getpid()} {row['prompt']}"

    server = serve(answered)
    rows = dataset([{"prompt": f"row {i}"} for i in range(600)])
    found = by_id(
        hfgen.ray.generate(
            rows,
            api_url=server.url,
            request=with_process,
            workers=2,
            rows_per_block=32,
            concurrency=8,
        ).take_all()
    )
    assert killed
    assert {i: row["generated_text"].partition(" ")[2] for i, row in found.items()} == {
        i: f"ROW {i}" for i in range(600)
    }
    # The rows of its unfinished blocks were asked for once more, by another process.
    assert len({prompt.split()[0] for prompt in echo.prompt_counts}) == 3
    assert echo.prompt_counts.total() > 600


def test_a_key_that_no_server_takes_ends_it(serve):
    server = serve(status(401, '{"error": "no such key"}'))
    rows = dataset([{"prompt": f"row {i}"} for i in range(4)], blocks=1)
    with pytest.raises(RayTaskError, match=r"AuthenticationError.*no such key"):
        hfgen.ray.generate(rows, api_url=server.url, workers=1).take_all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers must be a whole number"),
        ({"workers": 8, "concurrency": 7}, "cannot be shared"),
        ({"rows_per_block": 0}, "rows_per_block must be a whole number"),
        ({"template": "{0!r}"}, "in the template"),
        ({"request": print, "template": "m"}, "leave out template"),
        ({"on_retry": print}, "on_retry cannot be sent"),
        ({"api_url": "no url"}, "no url"),
        ({"api_url": []}, "api_url"),
        ({"timeout": "soon"}, "timeout"),
        ({"concurrency": (3, 2)}, "concurrency must be"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(options, message):
    rows = dataset([{"prompt": "row"}], blocks=1)
    with pytest.raises(InvalidRequestError, match=message):
        hfgen.ray.generate(rows, **{"workers": 1} | options)


def test_an_unknown_option_is_no_option():
    with pytest.raises(TypeError, match="timeout"):
        hfgen.ray.generate(dataset([{"prompt": "row"}], blocks=1), workers=1, timeuot=3)
