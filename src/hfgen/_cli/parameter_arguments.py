"""How a command has text generated: an argument for each of TGI's parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

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
    ("best-of", int, "generate so many and return the likeliest"),
    ("top-n-tokens", int, "so many alternatives of each token"),
)
_SWITCHES: tuple[tuple[str, str], ...] = (
    ("do-sample", "draw tokens, instead of taking the likeliest"),
    ("return-full-text", "put the prompt before the text"),
    ("watermark", "mark the text as generated"),
)


def add_arguments(parser: argparse.ArgumentParser, needs: Mapping[str, str]) -> None:
    """Add the arguments.

    Args:
        parser: The parser to add them to.
        needs: For a parameter that has its effect only with a certain option: that option.
    """
    how = parser.add_argument_group("how")
    with_ = {name: f" (with {option})" for name, option in needs.items()}
    for name, kind, text in _PARAMETERS:
        how.add_argument(
            f"--{name}", type=kind, help=text + with_.get(name, ""), metavar=kind.__name__.upper()
        )
    how.add_argument(
        "--stop", action="append", metavar="TEXT", help="end when this is generated; repeatable"
    )
    for name, text in _SWITCHES:
        how.add_argument(
            f"--{name}", action="store_const", const=True, help=text + with_.get(name, "")
        )


def given(options: argparse.Namespace, *, details: bool) -> dict[str, Any]:
    """Return the parameters of a request: those that were given.

    Args:
        options: The parsed arguments.
        details: Whether to ask for `details`.
    """
    names = [name for name, *_ in (*_PARAMETERS, *_SWITCHES)]
    parameters = {key: getattr(options, key) for name in names if (key := name.replace("-", "_"))}
    parameters["stop"] = options.stop
    parameters["details"] = details or None
    if parameters["return_full_text"] is None:
        # Otherwise the server's route decides, and the prompt appears or not.
        parameters["return_full_text"] = False
    return {key: value for key, value in parameters.items() if value is not None}
