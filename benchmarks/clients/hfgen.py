"""hfgen with its defaults, and with one option or verb at a time, to measure what each costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import hfgen

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = "hfgen"

# A variant: the verb, and the options over the default ones.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "": ("stream_tokens", {}),
    "stream": ("stream", {}),
    "stream_bytes": ("stream_bytes", {}),
    "timeout=None": ("stream_tokens", {"timeout": None}),
    "max_retries=0": ("stream_tokens", {"max_retries": 0}),
    "resume=True": ("stream_tokens", {"resume": True}),
    "signal=...": ("stream_tokens", {"signal": hfgen.AbortSignal()}),
}


class Sync:
    """A client for all calls."""

    def __init__(self, address: str, variant: str = "") -> None:
        self._verb, options = VARIANTS[variant]
        self._client = hfgen.Client(api_url=f"{address}/generate_stream", **options)
        self._whole = self._client.with_options(api_url=f"{address}/generate")

    def stream(self, prompt: str, on_token: Callable[[str], object]) -> None:
        if self._verb == "stream_tokens":
            for text in self._client.stream_tokens(prompt):
                on_token(text)
        elif self._verb == "stream":
            for chunk in self._client.stream(prompt):
                on_token(chunk.token.text)
        else:
            for piece in self._client.stream_bytes(prompt):
                on_token(piece)  # type: ignore[arg-type] # only counted

    def run(self, prompt: str) -> str:
        return self._whole.run(prompt)[0].generated_text

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()


class Async:
    """A client for all calls."""

    def __init__(self, address: str, variant: str = "") -> None:
        self._verb, options = VARIANTS[variant]
        self._client = hfgen.AsyncClient(api_url=f"{address}/generate_stream", **options)
        self._whole = self._client.with_options(api_url=f"{address}/generate")

    async def stream(self, prompt: str, on_token: Callable[[str], object]) -> None:
        if self._verb == "stream_tokens":
            async for text in await self._client.stream_tokens(prompt):
                on_token(text)
        elif self._verb == "stream":
            async for chunk in await self._client.stream(prompt):
                on_token(chunk.token.text)
        else:
            async for piece in await self._client.stream_bytes(prompt):
                on_token(piece)  # type: ignore[arg-type] # only counted

    async def run(self, prompt: str) -> str:
        return (await self._whole.run(prompt))[0].generated_text

    async def many(self, prompts: list[str]) -> list[str]:
        results = self._whole.generate_many(prompts, stream=False)
        return [result.generated_text async for result in results if result.generated_text]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()
