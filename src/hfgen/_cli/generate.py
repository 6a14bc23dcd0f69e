"""`hfgen generate`: a prompt in, text out, token by token."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec

from hfgen._cli.waiting import Waiting
from hfgen._core.providers import NAMES
from hfgen._errors import InvalidRequestError
from hfgen._options import DIALECTS
from hfgen._sync_client import Client

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from hfgen._answers import Chunk, Details, GeneratedText, StreamDetails
    from hfgen._options import ClientOptions

# Flag, type, and help of each parameter that is passed on as it is.
_PARAMETERS: tuple[tuple[str, Any, str], ...] = (
    ("max-new-tokens", int, "generate at most so many tokens"),
    ("temperature", float, "divide the logits by this before drawing; above 0"),
    ("top-p", float, "draw from the likeliest tokens that have this probability; inside (0, 1)"),
    ("top-k", int, "draw from the so many likeliest tokens"),
    ("typical-p", float, "draw from the most typical tokens; inside (0, 1)"),
    ("repetition-penalty", float, "divide the logits of tokens that have occurred; 1 is neutral"),
    ("frequency-penalty", float, "lower the logits of tokens each time they occur; -2 to 2"),
    ("seed", int, "same seed, same text"),
    ("truncate", int, "keep only so many tokens of the prompt, from its end"),
    ("best-of", int, "generate so many and show the likeliest (with --no-stream)"),
    ("top-n-tokens", int, "so many alternatives of each token (with --json)"),
)
_SWITCHES: tuple[tuple[str, str], ...] = (
    ("do-sample", "draw tokens, instead of taking the likeliest"),
    ("return-full-text", "put the prompt before the text (with --no-stream)"),
    ("watermark", "mark the text as generated"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument(
        "prompt", nargs="?", help="the prompt; - or nothing reads it from standard input"
    )
    where = parser.add_argument_group("where")
    where.add_argument("--model", help="id of the model, owner/name; with --local a directory")
    there = where.add_mutually_exclusive_group()
    there.add_argument("--api-url", help="where to post (default: HFGEN_API_URL, else the router)")
    there.add_argument(
        "--provider",
        choices=NAMES,
        metavar="NAME",
        help=f"who serves the model, behind the router: {', '.join(NAMES)}",
    )
    where.add_argument("--api-key", help="the key (default: HF_TOKEN and its kin)")
    where.add_argument(
        "--bill-to", metavar="NAME", help="the organisation that pays, at the router"
    )
    where.add_argument(
        "--dialect",
        choices=DIALECTS,
        help="what the server speaks (default: auto, by the URL or by asking)",
    )
    there.add_argument(
        "--local", action="store_true", help="start a local server for this call, and ask that"
    )
    where.add_argument("--timeout", type=float, help="seconds to wait for each answer")
    where.add_argument("--max-retries", type=int, help="how often to try again")
    where.add_argument(
        "--wait-for-model",
        type=float,
        nargs="?",
        const=True,
        metavar="SECONDS",
        help="wait for a model that is loading, or an endpoint that wakes up (600)",
    )
    where.add_argument(
        "--resume", action="store_true", help="pick the stream up if it breaks after some tokens"
    )
    how = parser.add_argument_group("how")
    for name, kind, text in _PARAMETERS:
        how.add_argument(f"--{name}", type=kind, help=text, metavar=kind.__name__.upper())
    how.add_argument(
        "--stop", action="append", metavar="TEXT", help="end when this is generated; repeatable"
    )
    for name, text in _SWITCHES:
        how.add_argument(f"--{name}", action="store_const", const=True, help=text)
    what = parser.add_argument_group("what to show")
    what.add_argument("--json", action="store_true", help="one JSON object a chunk, a line each")
    what.add_argument(
        "--details", action="store_true", help="tokens, speed, finish reason on standard error"
    )
    what.add_argument("--no-stream", action="store_true", help="wait for the whole text")


def run(options: argparse.Namespace) -> None:
    """Carry the command out."""
    request = {"inputs": _prompt(options.prompt), "parameters": _parameters(options)}
    with contextlib.suppress(AttributeError):
        # What the terminal cannot show must not end the generation.
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    with Waiting() as waiting, _client(options, waiting) as client:
        if options.model and not options.local:
            request["model"] = options.model
        started = time.perf_counter()
        if options.no_stream:
            answers = client.run(request)
            waiting.over()
            _show_answers(answers, options, started)
        else:
            with client.stream(request, resume=options.resume) as stream:
                waiting.over()
                _show_stream(stream, options, started)


def _prompt(given: str | None) -> str:
    if given is not None and given != "-":
        return given
    if sys.stdin is None:
        raise InvalidRequestError("no prompt: standard input is closed")
    if given is None and sys.stdin.isatty():
        raise InvalidRequestError('no prompt: hfgen generate "Once upon a time"')
    try:
        text = sys.stdin.read()
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"standard input is no text: {error}") from None
    # The line end that `echo` adds is not part of the prompt.
    return text.removesuffix("\n")


def _parameters(options: argparse.Namespace) -> dict[str, Any]:
    names = [name for name, *_ in (*_PARAMETERS, *_SWITCHES)]
    parameters = {key: getattr(options, key) for name in names if (key := name.replace("-", "_"))}
    parameters["stop"] = options.stop
    parameters["details"] = True if options.details or options.json else None
    if parameters["return_full_text"] is None:
        # Otherwise the server's route decides, and the prompt appears or not.
        parameters["return_full_text"] = False
    return parameters


@contextlib.contextmanager
def _client(options: argparse.Namespace, waiting: Waiting) -> Iterator[Client]:
    given: ClientOptions = {
        "api_key": options.api_key,
        "api_url": options.api_url,
        "max_retries": options.max_retries,
        "wait_for_model": options.wait_for_model,
        "on_retry": waiting.told,
        "provider": options.provider,
        "bill_to": options.bill_to,
        "dialect": options.dialect,
    }
    if options.timeout is not None:
        given["timeout"] = options.timeout
    with contextlib.ExitStack() as stack:
        if options.local:
            from hfgen.server import LocalServer  # noqa: PLC0415 - optional

            server = stack.enter_context(LocalServer(model=options.model or "bundled"))
            given["api_url"] = server.url
            # It is on this machine, where no proxy can reach it.
            given["proxy"] = False
        yield stack.enter_context(Client(**given))


def _show_stream(stream: Iterator[Chunk], options: argparse.Namespace, started: float) -> None:
    first: float | None = None
    count = 0
    details: StreamDetails | None = None
    text = ""
    try:
        for chunk in stream:
            first = first or time.perf_counter()
            count += 1
            details = chunk.details or details
            if options.json:
                _write_json(chunk)
            elif not chunk.token.special:
                text = chunk.token.text or text
                sys.stdout.write(chunk.token.text)
                sys.stdout.flush()
    finally:
        if text and not text.endswith("\n"):
            sys.stdout.write("\n")
            sys.stdout.flush()
    if options.details:
        _write_details(count, details, started, first)


def _show_answers(
    answers: list[GeneratedText], options: argparse.Namespace, started: float
) -> None:
    for answer in answers:
        if options.json:
            _write_json(answer)
        else:
            print(answer.generated_text)
        if options.details:
            count = len(answer.details.tokens) if answer.details else 0
            _write_details(count, answer.details, started, None)


def _write_json(answer: Chunk | GeneratedText) -> None:
    # Not to_json: the server's own words may go over several lines.
    sys.stdout.write(msgspec.json.encode(answer.to_dict()).decode() + "\n")
    sys.stdout.flush()


def _write_details(
    count: int, details: StreamDetails | Details | None, started: float, first: float | None
) -> None:
    now = time.perf_counter()
    if details is not None and details.generated_tokens is not None:
        count = details.generated_tokens
    facts = [f"{count} tokens in {now - started:.2f} s"]
    if first is not None and count > 1 and now > first:
        facts.append(f"{(count - 1) / (now - first):.1f} tokens/s")
        facts.append(f"time to first token {first - started:.3f} s")
    if details is not None:
        facts.append(f"finish_reason {details.finish_reason}")
        if details.seed is not None:
            facts.append(f"seed {details.seed}")
    print(", ".join(facts), file=sys.stderr)
