"""The dialect of OpenAI-compatible completions, `/v1/completions`. No I/O.

- `dialect`: `Completions`, which the rest of hfgen uses, and the readers of its streams.
- `request`: a request in TGI's terms as the body of a completion.
- `response`: the JSON of an answer or an event, and what it means in TGI's terms.
"""

from hfgen._core.dialects.completions.dialect import Completions

__all__ = ["Completions"]
