"""Hugging Face's Inference Toolkit with a model that generates text, as a script.

Source: github.com/huggingface/huggingface-inference-toolkit, `webservice_starlette.py`,
`handler.py` and `serialization/`; the parameters are those of a transformers pipeline.
"""

import json

from hfgen.testing import answer, as_json

# The types that it can write of those that a client of text generation might accept.
_TYPES = ("application/json", "application/json; charset=UTF-8")
_ROUTES = {"/": {"GET", "POST"}, "/predict": {"POST"}, "/health": {"GET"}, "/metrics": {"GET"}}
# What the pipeline and `generate` know. Its default is to draw tokens, at a temperature of 0.7.
_KNOWN = {
    "do_sample", "max_new_tokens", "max_time", "num_return_sequences", "repetition_penalty",
    "return_full_text", "temperature", "top_k", "top_p", "typical_p",
}  # fmt: skip
TEXT = " upon"


def respond_as_toolkit(request):
    """Return the answer to a request."""
    methods = _ROUTES.get(request.path.partition("?")[0])
    if methods is None:
        return answer(b"Not Found", status=404, headers={"content-type": "text/plain"})
    if request.method not in methods:
        return answer(b"Method Not Allowed", status=405, headers={"content-type": "text/plain"})
    if request.method == "GET":
        return answer(b"Ok", headers={"content-type": "text/plain; charset=utf-8"})
    try:
        return _predict(request)
    except ValueError as error:
        return as_json({"error": str(error)}, status=400)


def _predict(request):
    content_type = request.headers.get("content-type")
    if content_type not in _TYPES:
        raise ValueError(f'Content type "{content_type}" not supported.')
    body = json.loads(request.body)
    if "inputs" not in body:
        raise ValueError(f"Body needs to provide a inputs key, received: {body}")
    generated = _generate(body["inputs"], body.get("parameters", {}))
    accept = request.headers.get("accept")
    if accept is None or accept == "*/*":
        accept = "application/json"
    if accept not in _TYPES:
        raise ValueError(f'Accept type "{accept}" not supported.')
    return answer(json.dumps(generated).encode(), headers={"content-type": accept})


def _generate(inputs, parameters):
    if unknown := sorted(parameters.keys() - _KNOWN):
        raise ValueError(
            f"The following `model_kwargs` are not used by the model: {unknown} (note: typos in "
            "the generate arguments will also show up in this list)"
        )
    count = parameters.get("num_return_sequences", 1)
    is_sampled = parameters.get("do_sample", True)
    if count > 1 and not is_sampled:
        raise ValueError(
            "Greedy methods without beam search do not support `num_return_sequences` different "
            f"than 1 (got {count})."
        )
    prompt = inputs if parameters.get("return_full_text", True) else ""
    texts = [f"{TEXT} {number}" if is_sampled else TEXT for number in range(count)]
    return [{"generated_text": prompt + text} for text in texts]
