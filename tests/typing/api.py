"""How a caller's type checker sees hfgen. Checked, not run."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator  # noqa: TC003
from typing import Any, assert_type

import httpx
import httpx2
import requests

import hfgen
from hfgen import (
    AbortController,
    AbortSignal,
    AsyncClient,
    AsyncHuggingFaceTextGeneration,
    Client,
    FetchRequest,
    FetchResponse,
    HfgenError,
    HuggingFaceTextGeneration,
    IncompleteGenerationError,
    ModelLoadingError,
    RateLimit,
    StatusError,
    TimeoutError,  # noqa: A004
)
from hfgen.fetch import from_aiohttp, from_asgi, from_httpx, from_requests
from hfgen.types import (
    AsyncBulk,
    AsyncFetch,
    AsyncStream,
    BestOfSequence,
    Bulk,
    BulkResult,
    BulkStatistics,
    Chunk,
    Details,
    Fetch,
    GeneratedText,
    GenerateParameters,
    GenerationRequest,
    Options,
    ServerInfo,
    SimpleToken,
    Stream,
    StreamDetails,
    Token,
)

parameters: GenerateParameters = {"max_new_tokens": 100, "temperature": 1, "stop": ["\n"]}
request: GenerationRequest = {
    "model": "meta-llama/Llama-3.1-8B",
    "inputs": "Write a Python function that adds two numbers",
    "parameters": parameters,
    "options": {"wait_for_model": True},
}
nothing: GenerateParameters = {"seed": None, "stop": None}
wrong_type: GenerateParameters = {"max_new_tokens": "100"}  # type: ignore[typeddict-item]
wrong_key: GenerateParameters = {"max_new_token": 100}  # type: ignore[typeddict-unknown-key]
no_inputs: GenerationRequest = {"model": "m"}  # type: ignore[typeddict-item]


def sync() -> None:
    answers = HuggingFaceTextGeneration.run(request, api_key="hf_…")
    assert_type(answers, list[GeneratedText])
    assert_type(answers[0].generated_text, str)
    assert_type(answers[0].details, Details | None)
    if answers[0].details is not None:
        assert_type(answers[0].details.tokens, list[Token])
        assert_type(answers[0].details.best_of_sequences, list[BestOfSequence] | None)

    assert_type(HuggingFaceTextGeneration.stream(request), Stream[Chunk])

    many = Client().generate_many(["Once"], concurrency=(1, 8), rate_limit=RateLimit())
    assert_type(many, Bulk[str])
    assert_type(many.statistics, BulkStatistics)
    for result in Client().generate_many([1, 2], request=str, api_urls=["http://a"]):
        assert_type(result, BulkResult[int])
        assert_type(result.row, int)
        assert_type(result.error, HfgenError | None)
        assert_type(result.to_dict(), dict[str, Any])
    assert_type(HuggingFaceTextGeneration.stream_tokens("Once"), Stream[str])
    assert_type(HuggingFaceTextGeneration.stream_bytes({"inputs": "Once"}), Stream[bytes])

    for chunk in HuggingFaceTextGeneration.stream(request, timeout=5, max_retries=None):
        assert_type(chunk, Chunk)
        assert_type(chunk.token.text, str)
        assert_type(chunk.token.logprob, float | None)
        assert_type(chunk.generated_text, str | None)
        assert_type(chunk.details, StreamDetails | None)
        assert_type(chunk["token"]["text"], Any)
        assert_type(chunk.to_dict(), dict[str, Any])
        assert_type(chunk.to_json(), str)

    with Client(api_key="hf_…", api_url="http://localhost:8080") as client:
        assert_type(client, Client)
        assert_type(client.with_options(timeout=None), Client)
        assert_type("".join(client.stream_tokens("Once")), str)
        with client.stream_tokens("Once") as stream:
            assert_type(stream, Stream[str])
            assert_type(next(stream), str)
            assert_type(stream.status, int)
            assert_type(stream.text, str)
            assert_type(stream.details, StreamDetails | None)
            assert_type(stream.headers["x-request-id"], str)
            stream.close()
        for piece in client.stream_bytes("Once"):
            assert_type(piece, bytes)

    HuggingFaceTextGeneration.run("Once", api_kee="x")  # type: ignore[call-arg]
    HuggingFaceTextGeneration.run("Once", "hf_…")  # type: ignore[call-arg]
    HuggingFaceTextGeneration.run("Once", api_key=5)  # type: ignore[arg-type]
    HuggingFaceTextGeneration.run(5)  # type: ignore[arg-type]
    Client(timeout="5")  # type: ignore[arg-type]


def requests_and_parameters() -> None:
    HuggingFaceTextGeneration.run("Once", model="m", max_new_tokens=3, stop=None)
    Client(model="m", seed=1).with_options(top_k=5).stream("Once", temperature=0.5)
    HuggingFaceTextGeneration.run("Once", max_tokens=3)  # type: ignore[call-arg]
    HuggingFaceTextGeneration.run("Once", max_new_tokens="3")  # type: ignore[arg-type]
    Client().info(seed=1)  # type: ignore[call-arg]

    # A literal with a wrong key is an error.
    run = HuggingFaceTextGeneration.run
    run({"inputs": "Once", "parameters": {"seed": 1}})
    run({"inputs": "Once", "parametres": {}})  # type: ignore[arg-type]
    run({"inputs": "Once", "parameters": {"max_tokens": 3}})  # type: ignore[arg-type]
    run({"input": "Once"})  # type: ignore[arg-type]
    Client().stream({"inputs": "Once", "max_new_tokens": 3})  # type: ignore[arg-type]

    # A function that makes requests of rows may return any mapping.
    def make(row: int) -> dict[str, Any]:
        return {"inputs": str(row)}

    Client().generate_many([1], request=make, max_new_tokens=3, model="m")


async def asynchronous() -> None:
    assert_type(await AsyncHuggingFaceTextGeneration.run(request), list[GeneratedText])
    stream = await AsyncHuggingFaceTextGeneration.stream_tokens(request, api_key="hf_…")
    assert_type(stream, AsyncStream[str])
    async for token in stream:
        assert_type(token, str)
    assert_type(await AsyncHuggingFaceTextGeneration.stream(request), AsyncStream[Chunk])

    async def rows() -> AsyncIterator[int]:
        yield 1

    many = AsyncClient().generate_many(rows(), request=str)
    assert_type(many, AsyncBulk[int])
    async for result in many:
        assert_type(result, BulkResult[int])
    assert_type(await AsyncHuggingFaceTextGeneration.stream_bytes(request), AsyncStream[bytes])

    async with AsyncClient(timeout=5) as client:
        assert_type(client, AsyncClient)
        assert_type(client.with_options(headers={"X-HF-Bill-To": "me"}), AsyncClient)
        async with await client.stream(request) as chunks:
            assert_type(chunks, AsyncStream[Chunk])
            assert_type((await anext(chunks)).token, Token)
            await chunks.aclose()
        assert_type([text async for text in await client.stream_tokens("Once")], list[str])


def aborting() -> None:
    controller = AbortController()
    assert_type(controller.signal, AbortSignal)
    HuggingFaceTextGeneration.run("Once", signal=controller.signal)
    controller.abort("enough")


def errors() -> None:
    try:
        HuggingFaceTextGeneration.run(request)
    except ModelLoadingError as error:
        assert_type(error.estimated_time, float | None)
    except StatusError as error:
        assert_type(error.status, int)
        assert_type(error.body, bytes)
        assert_type(error.request_id, str | None)
        assert_type(error.retry_after, float | None)
        assert_type(error.error_type, str | None)
        assert_type(error.headers["retry-after"], str)
    except IncompleteGenerationError as error:
        assert_type(error.text, str)
    except TimeoutError as error:
        assert_type(error.message, str)
    except HfgenError:
        raise


def double(request: FetchRequest) -> FetchResponse:
    assert_type(request.body, bytes)
    return FetchResponse(status=200, body=[b'{"generated_text": "Once upon"}'])


def streaming_double(request: FetchRequest) -> FetchResponse:
    def pieces() -> Iterator[bytes]:
        yield b"data: [DONE]\n\n"

    return FetchResponse(status=200, headers={}, body=pieces(), close=lambda: None)


async def async_double(request: FetchRequest) -> FetchResponse:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"generated_text": "Once upon"}'

    async def close() -> None:
        return

    return FetchResponse(status=200, body=pieces(), close=close)


fetch: Fetch = double
fetch = streaming_double
async_fetch: AsyncFetch = async_double
fetch = async_double  # type: ignore[assignment]
async_fetch = double  # type: ignore[assignment]

Client(fetch=double)
AsyncClient(fetch=async_double)
Client(fetch=async_double)  # type: ignore[arg-type]
AsyncClient(fetch=double)  # type: ignore[arg-type]

options: Options = {"api_url": "http://localhost:8080", "timeout": 5}
Client(**options)
HuggingFaceTextGeneration.run("Once", **options)

Client(dialect="completions", max_event_bytes=1000)
Client(provider="together", bill_to="my-org")
Client(dialect="openai")  # type: ignore[arg-type]
assert_type(Client().info(), ServerInfo)
assert_type(Client().tokenize("Once"), list[SimpleToken])

Client(proxy="http://host:3128", ssl="ca.pem")
AsyncClient(proxy=False, ssl=ssl.create_default_context())
Client(ssl=False)  # type: ignore[arg-type]
Client(proxy=True)  # type: ignore[arg-type]
HuggingFaceTextGeneration.run("Once", proxy="http://host:3128")  # type: ignore[call-arg]
Client().with_options(ssl="ca.pem")  # type: ignore[call-arg]


async def application(scope: Any, receive: Any, send: Any) -> None:
    return


assert_type(from_httpx(httpx.Client()), Fetch)
assert_type(from_httpx(httpx.AsyncClient()), AsyncFetch)
assert_type(from_httpx(httpx2.Client()), Fetch)
assert_type(from_httpx(httpx2.AsyncClient()), AsyncFetch)
assert_type(from_requests(requests.Session()), Fetch)
assert_type(from_asgi(application), AsyncFetch)
Client(fetch=from_httpx(httpx.Client()))
AsyncClient(fetch=from_httpx(httpx2.AsyncClient()))
Client(fetch=from_httpx(httpx.AsyncClient()))  # type: ignore[arg-type]
AsyncClient(fetch=from_requests(requests.Session()))  # type: ignore[arg-type]
from_httpx(requests.Session())  # type: ignore[call-overload]
from_aiohttp(httpx.AsyncClient())  # type: ignore[arg-type]

assert_type(hfgen.__version__, str)
_ = hfgen.client  # type: ignore[attr-defined]


class Story:
    """A caller that hands streams on."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def tokens(self, prompt: str, **more: Any) -> Iterator[str]:
        yield from self.client.stream_tokens(prompt, **more)
