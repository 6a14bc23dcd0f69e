"""What is found out once, whoever asks, and whatever becomes of those who wait."""

import asyncio
import threading
import time

import pytest

import hfgen
from hfgen.testing import Pause, answer, as_json, status

INFO = {"model_id": "m"}
GENERATED = {"generated_text": "a"}


def slow(*said):
    """A server that takes its time to say what it is."""
    asked = []

    def answered(request):
        if not request.path.startswith("/info"):
            return as_json(GENERATED)
        asked.append(request)
        return said[min(len(asked), len(said)) - 1]

    return answered, asked


LATE = answer(Pause(0.4), b'{"model_id": "m"}', headers={"content-type": "application/json"})


def in_threads(count, function):
    came = []

    def run():
        try:
            came.append(function())
        except hfgen.HfgenError as error:
            came.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return came


def test_tasks_ask_once(serve):
    script, asked = slow(LATE)
    server = serve(script, speaks=None)

    async def main():
        async with hfgen.AsyncClient(api_url=server.url) as client:
            return await asyncio.gather(*(client.run("x") for _ in range(20)))

    assert len(asyncio.run(main())) == 20
    assert len(asked) == 1


def test_loops_in_several_threads_ask_once(serve):
    script, asked = slow(LATE)
    server = serve(script, speaks=None)
    client = hfgen.AsyncClient(api_url=server.url)

    async def main():
        try:
            return await client.run("x")
        finally:
            await client._session._transport.aclose()

    assert len(in_threads(5, lambda: asyncio.run(main()))) == 5
    assert len(asked) == 1


def test_who_waits_gets_the_error_too_in_a_copy(serve):
    script, asked = slow(answer(Pause(0.3), b"", status=401))
    server = serve(script, speaks=None)
    with hfgen.Client(api_url=server.url) as client:
        errors = in_threads(5, lambda: client.run("x"))
    assert {type(error) for error in errors} == {hfgen.AuthenticationError}
    assert len({id(error) for error in errors}) == 5
    assert len(asked) == 1


def test_after_an_error_it_is_asked_again(side, serve):
    script, asked = slow(status(401), as_json(INFO))
    server = serve(script, speaks=None)
    client = side.client(api_url=server.url)
    with pytest.raises(hfgen.AuthenticationError):
        side.call(client.run, "x")
    assert side.call(client.run, "x")
    assert len(asked) == 2


def test_the_patience_of_who_asks_is_not_that_of_who_waits(serve):
    script, asked = slow(LATE)
    server = serve(script, speaks=None)
    with hfgen.Client(api_url=server.url) as client:
        controller = hfgen.AbortController()
        errors = []

        def hasty():
            try:
                client.run("x", signal=controller.signal)
            except hfgen.AbortError as error:
                errors.append(error)

        first = threading.Thread(target=hasty)
        first.start()
        server.request(0)
        threading.Timer(0.1, controller.abort).start()
        assert client.run("x")[0].generated_text == "a"
        first.join()
    assert len(errors) == 1
    assert len(asked) == 2


def test_who_waits_may_leave(serve):
    script, _ = slow(answer(Pause(2), b"{}", headers={"content-type": "application/json"}))
    server = serve(script, speaks=None)
    with hfgen.Client(api_url=server.url) as client:
        first = threading.Thread(target=in_threads, args=(1, lambda: client.run("x")))
        first.start()
        server.request(0)
        started = time.monotonic()
        controller = hfgen.AbortController()
        threading.Timer(0.1, controller.abort).start()
        with pytest.raises(hfgen.AbortError):
            client.run("x", signal=controller.signal)
        assert time.monotonic() - started < 1.5
        first.join()


def test_a_task_that_waits_may_be_cancelled(serve):
    script, asked = slow(LATE)
    server = serve(script, speaks=None)

    async def main():
        async with hfgen.AsyncClient(api_url=server.url) as client:
            first = asyncio.create_task(client.run("x"))
            await asyncio.sleep(0.1)
            second = asyncio.create_task(client.run("x"))
            await asyncio.sleep(0.1)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            return await first

    assert asyncio.run(main())[0].generated_text == "a"
    assert len(asked) == 1


def test_a_task_that_asks_may_be_cancelled(serve):
    script, asked = slow(LATE)
    server = serve(script, speaks=None)

    async def main():
        async with hfgen.AsyncClient(api_url=server.url) as client:
            first = asyncio.create_task(client.run("x"))
            await asyncio.sleep(0.1)
            second = asyncio.create_task(client.run("x"))
            await asyncio.sleep(0.1)
            first.cancel()
            return await second

    assert asyncio.run(main())[0].generated_text == "a"
    assert len(asked) == 2


GUARDED = {"api_key": "right"}, {"api_key": "wrong"}
HASTY = {"timeout": 60}, {"timeout": hfgen.Timeout(connect=0.05, first_token=0.15)}


def particular(request):
    """A server of which one hears nothing good with a wrong key, or in haste."""
    if not request.path.startswith("/info"):
        return as_json(GENERATED)
    refused = request.headers.get("authorization") == "Bearer wrong"
    return answer(Pause(0.4), b"", status=401) if refused else LATE


@pytest.mark.parametrize(("good", "bad"), [GUARDED, HASTY])
def test_what_is_wrong_with_one_call_is_not_with_another(serve, good, bad):
    server = serve(particular, speaks=None)
    with hfgen.Client(api_url=server.url) as client:
        came = []
        first = threading.Thread(
            target=lambda: came.extend(in_threads(1, lambda: client.run("x", **bad)))
        )
        first.start()
        server.request(0)
        assert client.run("x", **good)[0].generated_text == "a"
        first.join()
    assert isinstance(came[0], hfgen.HfgenError)


def test_nor_between_tasks(serve):
    server = serve(particular, speaks=None)

    async def main():
        async with hfgen.AsyncClient(api_url=server.url) as client:
            calls = (client.run("x", api_key=key) for key in ("wrong", "right"))
            return await asyncio.gather(*calls, return_exceptions=True)

    wrong, right = asyncio.run(main())
    assert isinstance(wrong, hfgen.AuthenticationError)
    assert right[0].generated_text == "a"


def test_who_is_in_haste_does_not_wait_for_who_is_not(serve):
    script, _ = slow(answer(Pause(2), b"{}", headers={"content-type": "application/json"}))
    server = serve(script, speaks=None)
    with hfgen.Client(api_url=server.url) as client:
        first = threading.Thread(target=in_threads, args=(1, lambda: client.run("x")))
        first.start()
        server.request(0)
        started = time.monotonic()
        with pytest.raises(hfgen.TimeoutError):
            client.run("x", timeout=0.1, max_retries=0)
        assert time.monotonic() - started < 1.5
        first.join()


def test_who_asks_may_ask_in_the_middle_of_it(side, serve):
    script, asked = slow(status(503), as_json(INFO))
    server = serve(script, speaks=None)
    client = side.client(api_url=server.url, retry=hfgen.Retry(backoff=0.0))
    told = []

    def on_retry(*_):
        return told.append(client.run("y"))

    async def on_retry_async(*_):
        told.append(await client.run("y"))

    chosen = on_retry if side.name == "sync" else on_retry_async
    assert side.call(client.run, "x", on_retry=chosen)[0].generated_text == "a"
    assert len(told) == 1
    assert len(asked) == 3
