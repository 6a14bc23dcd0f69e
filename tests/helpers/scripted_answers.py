"""Shorthand for what the tests write most: headers by keyword, tokens as plain mappings."""

from hfgen import testing


def answer(*body, status=200, framing="chunked", **headers):
    return testing.answer(*body, status=status, framing=framing, headers=_name_headers(headers))


def events(*steps, framing="chunked", **headers):
    return testing.events(*steps, framing=framing, headers=_name_headers(headers))


def as_json(value, status=200, **headers):
    return testing.as_json(value, status=status, headers=_name_headers(headers))


def token(text, *, special=False, last=None, index=1):
    """One event; with `last`, the whole text, it is the last one."""
    return testing.chunk(text, index=index, special=special, generated_text=last)


def _name_headers(headers):
    return {name.replace("_", "-"): value for name, value in headers.items()}
