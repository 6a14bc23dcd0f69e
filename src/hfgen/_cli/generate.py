"""`hfgen generate`: send one prompt, print the text token by token."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from hfgen._cli import connection_arguments, parameter_arguments
from hfgen._cli.terminal import RetryNotice, read_input, write_json_line
from hfgen._core.errors import InvalidRequestError
from hfgen._sync.client import Client

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from hfgen._core.answers import Chunk, Details, GeneratedText, StreamDetails

# Parameters whose result is shown only with another option.
_NEEDS = {
    "best-of": "--no-stream",
    "return-full-text": "--no-stream",
    "top-n-tokens": "--json",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument(
        "prompt",
        nargs="?",
        help="the prompt; if it is - or left out, it is read from standard input",
    )
    connection_arguments.add_arguments(parser)
    parameter_arguments.add_arguments(parser, _NEEDS)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--json", action="store_true", help="print each chunk as a JSON object on a line of its own"
    )
    output.add_argument(
        "--details",
        action="store_true",
        help="print tokens, speed and finish reason to standard error",
    )
    output.add_argument("--no-stream", action="store_true", help="wait for the whole text")
    output.add_argument(
        "--resume",
        action="store_true",
        help="continue the stream if the connection breaks after some tokens",
    )


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    details = options.details or options.json
    prompt = _read_prompt(options.prompt)
    parameters = parameter_arguments.request_parameters(options, details=details)
    parameters |= connection_arguments.model_field(options)
    with (
        RetryNotice() as notice,
        connection_arguments.client_options(options, on_retry=notice.show) as client_options,
        Client(**client_options) as client,
    ):
        started = time.perf_counter()
        # The tokens of several texts come in turns, which only JSON tells apart.
        has_several = (options.num_return_sequences or 1) > 1
        if options.no_stream or (has_several and not options.json):
            answers = client.run(prompt, **parameters)
            notice.clear()
            _show_answers(answers, options, started)
        else:
            with client.stream(prompt, resume=options.resume, **parameters) as stream:
                notice.clear()
                _show_stream(stream, options, started)


def _read_prompt(argument: str | None) -> str:
    if argument is not None and argument != "-":
        return argument
    if sys.stdin is None:
        raise InvalidRequestError("no prompt: standard input is closed")
    if argument is None and sys.stdin.isatty():
        raise InvalidRequestError('no prompt: hfgen generate "Once upon a time"')
    try:
        text = read_input()
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"standard input is not text: {error}") from None
    # The line end that `echo` adds is not part of the prompt.
    return text.removesuffix("\n")


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
    # Not `to_json`: it returns the JSON as the server sent it, perhaps on several lines.
    write_json_line(answer.to_dict())


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
