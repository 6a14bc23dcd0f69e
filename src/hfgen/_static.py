"""The four verbs as static methods on a shared client, named as in @axflow/models."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from hfgen._options import AsyncOptions, Options, show_options
from hfgen._sync.client import Client

if TYPE_CHECKING:
    from typing import Unpack

    from hfgen._async.client import AsyncClient
    from hfgen._async.stream import AsyncStream
    from hfgen._core.answers import Chunk, GeneratedText
    from hfgen._core.request import RequestLike
    from hfgen._sync.stream import Stream


@cache
def _client() -> Client:
    return Client()


@cache
def _async_client() -> AsyncClient:
    from hfgen._async.client import AsyncClient  # noqa: PLC0415 - imports asyncio

    return AsyncClient()


class HuggingFaceTextGeneration:
    """The four verbs, on a client that the whole process shares."""

    @staticmethod
    @show_options(Options)
    def run(request: RequestLike, **options: Unpack[Options]) -> list[GeneratedText]:
        """Generate, and return the answer when it is complete; see `Client.run`."""
        return _client().run(request, **options)

    @staticmethod
    @show_options(Options)
    def stream(request: RequestLike, **options: Unpack[Options]) -> Stream[Chunk]:
        """Generate, and return a stream of `Chunk`s, one for each token; see `Client.stream`."""
        return _client().stream(request, **options)

    @staticmethod
    @show_options(Options)
    def stream_tokens(request: RequestLike, **options: Unpack[Options]) -> Stream[str]:
        """Generate, and return a stream of the texts of the tokens; see `Client.stream_tokens`."""
        return _client().stream_tokens(request, **options)

    @staticmethod
    @show_options(Options)
    def stream_bytes(request: RequestLike, **options: Unpack[Options]) -> Stream[bytes]:
        """Generate, and return a stream of the body, unchanged; see `Client.stream_bytes`."""
        return _client().stream_bytes(request, **options)


class AsyncHuggingFaceTextGeneration:
    """The four verbs as coroutines, on a client that the process shares.

    The client has a pool of connections for each event loop.
    """

    @staticmethod
    @show_options(AsyncOptions)
    async def run(request: RequestLike, **options: Unpack[AsyncOptions]) -> list[GeneratedText]:
        """Generate, and return the answer when it is complete; see `Client.run`."""
        return await _async_client().run(request, **options)

    @staticmethod
    @show_options(AsyncOptions)
    async def stream(request: RequestLike, **options: Unpack[AsyncOptions]) -> AsyncStream[Chunk]:
        """Generate, and return a stream of `Chunk`s, one for each token; see `Client.stream`."""
        return await _async_client().stream(request, **options)

    @staticmethod
    @show_options(AsyncOptions)
    async def stream_tokens(
        request: RequestLike, **options: Unpack[AsyncOptions]
    ) -> AsyncStream[str]:
        """Generate, and return a stream of the texts of the tokens; see `Client.stream_tokens`."""
        return await _async_client().stream_tokens(request, **options)

    @staticmethod
    @show_options(AsyncOptions)
    async def stream_bytes(
        request: RequestLike, **options: Unpack[AsyncOptions]
    ) -> AsyncStream[bytes]:
        """Generate, and return a stream of the body, unchanged; see `Client.stream_bytes`."""
        return await _async_client().stream_bytes(request, **options)
