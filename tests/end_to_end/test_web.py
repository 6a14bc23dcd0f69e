"""A web application of aiohttp in front of a model server: what happens when the browser leaves."""

import asyncio

import pytest
from aiohttp import web

from hfgen import AsyncClient
from hfgen.testing import Hang, answer, tokens


async def respond_with_stream(client):
    stream = await client.stream_tokens("x")
    return web.Response(body=(text.encode() async for text in stream))


async def respond_with_answer(client):
    return web.Response(text=(await client.run("x"))[0].generated_text)


@pytest.mark.parametrize(
    ("respond", "script"),
    [
        (respond_with_stream, tokens("Once", Hang())),
        (respond_with_answer, answer(Hang(), framing="raw")),
    ],
    ids=["stream", "run"],
)
def test_a_cancelled_handler_ends_the_generation(serve, respond, script):
    model_server = serve(script)

    async def scenario():
        async with AsyncClient(api_url=f"{model_server.url}/generate") as client:

            async def handle(_):
                return await respond(client)

            app = web.Application()
            app.router.add_get("/", handle)
            runner = web.AppRunner(app, handler_cancellation=True)
            await runner.setup()
            try:
                site = web.TCPSite(runner, "127.0.0.1", 0)
                await site.start()
                host, port = runner.addresses[0]
                _, writer = await asyncio.open_connection(host, port)
                writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                request = await asyncio.to_thread(model_server.request)
                writer.close()
                return await asyncio.to_thread(request.hung_up.wait, 10)
            finally:
                await runner.cleanup()

    assert asyncio.run(scenario())
