"""Rows for bulk runs, the right text for each, and a server's answer with it."""

from hfgen.testing import Pause, tokens


def prompts(count):
    return [{"id": number, "inputs": f"prompt {number}"} for number in range(count)]


def text_for(prompt):
    return f"text for {prompt}"


def answer_prompt(request, *, after=0.0):
    """Answer with the right text for the prompt, in two tokens."""
    prompt = request.json["inputs"]
    return tokens("text for ", *([Pause(after)] if after else []), prompt, details=True)


def check(rows, count):
    """Check that every row is there once, with the right text."""
    assert sorted(row["id"] for row in rows) == list(range(count))
    wrong_rows = [row for row in rows if row.get("generated_text") != text_for(row["inputs"])]
    assert wrong_rows == []
