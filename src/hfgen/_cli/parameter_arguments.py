"""Arguments for TGI's generation parameters, and the `parameters` of a request from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

# Name, type and help of each argument with a value.
_PARAMETERS: tuple[tuple[str, Any, str], ...] = (
    ("max-new-tokens", int, "largest number of tokens to generate"),
    ("temperature", float, "divide the logits by this before drawing; above 0"),
    (
        "top-p",
        float,
        "draw from the likeliest tokens that together have this probability; inside (0, 1)",
    ),
    ("top-k", int, "draw from this number of likeliest tokens"),
    (
        "typical-p",
        float,
        "draw from the most typical tokens that together have this probability; inside (0, 1)",
    ),
    (
        "repetition-penalty",
        float,
        "divide the logits of tokens that have occurred; 1 changes nothing",
    ),
    ("frequency-penalty", float, "lower the logit of a token each time it occurs; -2 to 2"),
    ("seed", int, "the same seed draws the same tokens"),
    ("truncate", int, "keep only this number of tokens of the prompt, from its end"),
    ("best-of", int, "generate this number of texts and return the likeliest"),
    ("top-n-tokens", int, "show this number of alternatives for each token"),
)
_SWITCHES: tuple[tuple[str, str], ...] = (
    ("do-sample", "draw tokens, instead of always taking the likeliest"),
    ("return-full-text", "put the prompt before the text"),
    ("watermark", "mark the text as generated"),
)


def add_arguments(parser: argparse.ArgumentParser, needs: Mapping[str, str]) -> None:
    """Add the arguments.

    Args:
        parser: The parser to add them to.
        needs: For each parameter that has an effect only with another option, that option.
    """
    group = parser.add_argument_group("generation parameters")
    notes = {name: f" (with {option})" for name, option in needs.items()}
    for name, kind, text in _PARAMETERS:
        group.add_argument(
            f"--{name}", type=kind, help=text + notes.get(name, ""), metavar=kind.__name__.upper()
        )
    group.add_argument(
        "--stop",
        action="append",
        metavar="TEXT",
        help="end the text where this is generated; repeatable",
    )
    group.add_argument(
        "--n",
        type=int,
        metavar="INT",
        dest="num_return_sequences",
        help="generate this number of texts for a prompt; they differ if tokens are drawn",
    )
    for name, text in _SWITCHES:
        group.add_argument(
            f"--{name}", action="store_const", const=True, help=text + notes.get(name, "")
        )


def request_parameters(options: argparse.Namespace, *, details: bool) -> dict[str, Any]:
    """Return the `parameters` of a request: those that the command line names.

    Args:
        options: The parsed arguments.
        details: Whether to ask for `details`.
    """
    names = [name for name, *_ in (*_PARAMETERS, *_SWITCHES)]
    parameters = {key: getattr(options, key) for name in names if (key := name.replace("-", "_"))}
    parameters["stop"] = options.stop
    parameters["num_return_sequences"] = options.num_return_sequences
    parameters["details"] = details or None
    if parameters["return_full_text"] is None:
        # The default differs between the server's routes. This one fits all: no prompt.
        parameters["return_full_text"] = False
    return {key: value for key, value in parameters.items() if value is not None}
