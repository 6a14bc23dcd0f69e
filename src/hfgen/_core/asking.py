"""What is asked of a server beside text: what it is, and how it cuts a text into tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from hfgen._core.call import get_request, post_request
from hfgen._core.errors import InvalidRequestError
from hfgen._core.routing import base, plan

if TYPE_CHECKING:
    from hfgen._core.answers import ServerInfo, SimpleToken
    from hfgen._core.conversation import Conversation
    from hfgen._core.routing import Plan
    from hfgen._core.target import Target
    from hfgen._io.signal import AbortSignal
    from hfgen._options import Settings


def informing(settings: Settings, signal: AbortSignal) -> Conversation[ServerInfo]:
    """Ask the server that the settings name what it is."""
    from hfgen._core import server_info as information  # noqa: PLC0415 - few programs ask

    return information.information(
        base(settings), lambda url: get_request(url, settings, signal), settings.retry
    )


def tokenizing(
    text: str, target: Target, settings: Settings, signal: AbortSignal
) -> Conversation[list[SimpleToken]]:
    """Ask the server that the settings name for the tokens of a text."""
    if not isinstance(text, str):
        raise InvalidRequestError(f"the text must be a string, not {type(text).__name__}")
    from hfgen._core import server_info as information  # noqa: PLC0415 - few programs ask

    return information.tokens(
        text,
        target,
        base(settings),
        lambda url, body: post_request(url, body, settings, signal),
        settings.retry,
    )


def plan_of_server(settings: Settings) -> Plan:
    """Return what is to be asked to know which server the settings name."""
    return plan(replace(settings, api_url=base(settings), dialect="auto"), {})
