"""The providers behind Hugging Face's router: the Hub is asked for them once."""

import json

import pytest

import hfgen
from helpers.sync_and_async import reply

MODEL = "meta-llama/Llama-3.1-8B"
TEXT = {"status": "live", "task": "text-generation"}
MAPPING = {
    "together": {**TEXT, "providerId": "meta-llama/Llama-3.1-8B-Turbo"},
    "novita": {**TEXT, "task": "conversational", "providerId": "meta-llama/llama-3.1-8b"},
    "fal-ai": {**TEXT, "task": "text-to-image", "providerId": "x"},
    "hf-inference": {**TEXT, "providerId": MODEL},
}
COMPLETED = {"choices": [{"index": 0, "text": "a", "finish_reason": "eos"}]}
GENERATED = [{"generated_text": "a"}]


class Web:
    """The Hub, the router and the providers' own hosts, as a `fetch`; records the requests."""

    def __init__(self, side, mapping=MAPPING, *, refuses=()):
        self.requests = []
        self._document = {"id": MODEL, "inferenceProviderMapping": mapping}
        self._refuses = refuses
        self.fetch = side.fetch(self._answer)

    def _answer(self, request):
        self.requests.append(request)
        if request.method == "GET":
            return _json(self._document)
        if any(request.url.endswith(end) for end in self._refuses):
            return _json({"error": "Not Found"}, 404)
        return _json(COMPLETED if request.url.endswith("completions") else GENERATED)

    @property
    def urls(self):
        return [request.url for request in self.requests]


def _json(value, status=200):
    return reply(json.dumps(value).encode(), status=status, content_type="application/json")


def run(side, web, model=MODEL, **options):
    client = side.client(fetch=web.fetch, api_key="hf_key")
    return side.call(client.run, {"model": model, "inputs": "x"}, **options)


HUB = f"https://huggingface.co/api/models/{MODEL}?expand=inferenceProviderMapping"


class TestThroughTheRouter:
    @pytest.mark.parametrize("form", ["mapping", "list"])
    def test_with_a_key_of_hugging_face(self, side, form):
        document = MAPPING
        if form == "list":
            document = [{"provider": name, **entry} for name, entry in MAPPING.items()]
        web = Web(side, document)
        [answer] = run(side, web, provider="together")
        assert answer.details.finish_reason == "eos_token"
        assert answer.details.native_finish_reason == "eos"
        assert web.urls == [HUB, "https://router.huggingface.co/together/v1/completions"]
        body = json.loads(web.requests[1].body)
        assert body["model"] == "meta-llama/Llama-3.1-8B-Turbo"
        assert body["prompt"] == "x"
        assert {r.headers["authorization"] for r in web.requests} == {"Bearer hf_key"}

    @pytest.mark.parametrize(
        ("provider", "route"),
        [
            ("deepinfra", "/v1/openai/completions"),
            ("featherless-ai", "/v1/completions"),
            ("novita", "/v3/openai/completions"),
            ("together", "/v1/completions"),
        ],
    )
    def test_every_provider_has_its_route(self, side, provider, route):
        web = Web(side, {provider: {**TEXT, "providerId": "m"}})
        run(side, web, provider=provider)
        assert web.urls[1] == f"https://router.huggingface.co/{provider}{route}"

    def test_the_name_is_looked_up_once(self, side):
        web = Web(side)
        client = side.client(fetch=web.fetch, api_key="hf_key", provider="together")
        for _ in range(3):
            side.call(client.run, {"model": MODEL, "inputs": "x"})
        assert web.urls.count(HUB) == 1
        assert len(web.urls) == 4

    def test_bill_to(self, side):
        web = Web(side)
        run(side, web, provider="together", bill_to="my-org")
        assert "x-hf-bill-to" not in web.requests[0].headers
        assert web.requests[1].headers["x-hf-bill-to"] == "my-org"

    def test_bill_to_is_for_the_router(self, side):
        web = Web(side)
        for options in ({"api_key": "sk"}, {"provider": None, "api_url": "http://host/v1"}):
            with pytest.raises(hfgen.InvalidRequestError, match="router"):
                run(side, web, **{"provider": "together", "bill_to": "my-org", **options})

    @pytest.mark.parametrize("value", ["", "é", "a\nb", 5])
    def test_bill_to_must_be_a_name(self, side, value):
        with pytest.raises(hfgen.InvalidRequestError, match="bill_to"):
            side.client(bill_to=value)

    @pytest.mark.parametrize("provider", ["together", "hf-inference"])
    def test_with_a_key_of_another_form_from_the_environment(self, side, monkeypatch, provider):
        monkeypatch.setenv("HF_TOKEN", "api_org_older")
        web = Web(side)
        client = side.client(fetch=web.fetch, provider=provider)
        side.call(client.run, {"model": MODEL, "inputs": "x"})
        assert web.urls[1].startswith("https://router.huggingface.co/")
        assert {r.headers["authorization"] for r in web.requests} == {"Bearer api_org_older"}

    def test_another_hub(self, side, monkeypatch):
        monkeypatch.setenv("HF_ENDPOINT", "https://hub.example/")
        web = Web(side)
        run(side, web, provider="together")
        assert web.urls[0] == HUB.replace("huggingface.co", "hub.example")


class TestDirectly:
    @pytest.mark.parametrize(
        ("provider", "url"),
        [
            ("together", "https://api.together.xyz/v1/completions"),
            ("novita", "https://api.novita.ai/v3/openai/completions"),
        ],
    )
    def test_with_a_key_of_its_own(self, side, provider, url, monkeypatch):
        monkeypatch.setenv("HF_TOKEN", "hf_ambient")
        web = Web(side)
        run(side, web, provider=provider, api_key="sk-own", headers={"x-mine": "1"})
        assert web.urls == [HUB, url]
        # The Hub gets a key of Hugging Face, and not the provider's.
        assert web.requests[0].headers["authorization"] == "Bearer hf_ambient"
        assert "x-mine" not in web.requests[0].headers
        assert web.requests[1].headers["authorization"] == "Bearer sk-own"
        assert web.requests[1].headers["x-mine"] == "1"

    def test_hf_inference_has_no_other_keys(self, side):
        with pytest.raises(hfgen.InvalidRequestError, match="hf_"):
            run(side, Web(side), provider="hf-inference", api_key="sk-own")


class TestHfInference:
    BASE = f"https://router.huggingface.co/hf-inference/models/{MODEL}"

    def test_tgis_dialect_first(self, side):
        web = Web(side)
        run(side, web, provider="hf-inference")
        assert web.urls[1:] == [self.BASE]
        assert "model" not in json.loads(web.requests[1].body)

    @pytest.mark.parametrize("provider", ["hf-inference", None])
    def test_completions_if_tgis_dialect_is_refused(self, side, provider):
        web = Web(side, refuses=[MODEL])
        client = side.client(fetch=web.fetch, api_key="hf_key", provider=provider)
        for _ in range(2):
            side.call(client.run, {"model": MODEL, "inputs": "x"})
        urls = [self.BASE, *[f"{self.BASE}/v1/completions"] * 2]
        assert web.urls[bool(provider) :] == urls
        assert json.loads(web.requests[-1].body)["model"] == MODEL

    def test_completions_first_for_a_conversational_model(self, side):
        web = Web(side, {"hf-inference": {**TEXT, "task": "conversational", "providerId": MODEL}})
        run(side, web, provider="hf-inference")
        assert web.urls[1:] == [f"{self.BASE}/v1/completions"]

    @pytest.mark.parametrize("dialect", ["tgi", "completions"])
    def test_the_option_decides(self, side, dialect):
        web = Web(side)
        run(side, web, provider="hf-inference", dialect=dialect)
        assert web.urls[1:] == [self.BASE + ("/v1/completions" if dialect != "tgi" else "")]

    def test_a_url_that_names_the_model(self, side):
        web = Web(side, refuses=[MODEL])
        client = side.client(fetch=web.fetch, api_url=self.BASE)
        side.call(client.run, "x")
        assert web.urls == [self.BASE, f"{self.BASE}/v1/completions"]
        assert json.loads(web.requests[-1].body)["model"] == MODEL


class TestRefused:
    def test_a_model_that_it_does_not_serve(self, side):
        web = Web(side)
        with pytest.raises(hfgen.NotFoundError, match=r"served by: hf-inference, novita, together"):
            run(side, web, provider="deepinfra")
        assert web.urls == [HUB]

    def test_a_model_that_no_provider_serves(self, side):
        web = Web(side, {})
        with pytest.raises(hfgen.NotFoundError, match="no provider"):
            run(side, web, provider="together")

    def test_a_model_that_does_not_exist(self, side):
        client = side.client(fetch=side.fetch(lambda _: _json({"error": "Not Found"}, 404)))
        with pytest.raises(hfgen.NotFoundError, match=r"no model 'a/b'"):
            side.call(client.run, {"model": "a/b", "inputs": "x"}, provider="together")

    @pytest.mark.parametrize("document", [[], {}, {"inferenceProviderMapping": 5}, "x"])
    def test_an_invalid_answer_of_the_hub(self, side, document):
        client = side.client(fetch=side.fetch(lambda _: _json(document)))
        with pytest.raises(hfgen.MalformedAnswerError, match="who serves"):
            side.call(client.run, {"model": "a/b", "inputs": "x"}, provider="together")

    def test_without_a_model(self, side):
        with pytest.raises(hfgen.InvalidRequestError, match="model"):
            side.call(side.client(provider="together").run, "x")

    @pytest.mark.parametrize("model", ["../x", "a//b", "/a"])
    def test_an_invalid_model(self, side, model):
        with pytest.raises(hfgen.InvalidRequestError, match="model id"):
            run(side, Web(side), model, provider="together")

    @pytest.mark.parametrize("value", ["openai", "", 5])
    def test_an_unknown_provider(self, side, value):
        with pytest.raises(hfgen.InvalidRequestError, match="featherless-ai"):
            side.client(provider=value)

    def test_along_with_a_url(self, side):
        with pytest.raises(hfgen.InvalidRequestError, match="exclude"):
            side.client(provider="together", api_url="http://host/")

    def test_in_tgis_dialect(self, side):
        with pytest.raises(hfgen.InvalidRequestError, match="completions"):
            run(side, Web(side), provider="together", dialect="tgi")

    def test_api_url_and_provider_replace_each_other(self, side):
        web = Web(side)
        client = side.client(fetch=web.fetch, api_key="hf_key", api_url="http://host/v1")
        side.call(client.run, {"model": MODEL, "inputs": "x"}, provider="together")
        assert web.urls[1].endswith("/together/v1/completions")
        client = client.with_options(provider="together").with_options(api_url="http://host/v1")
        parameters = {"max_new_tokens": 5}
        side.call(client.run, {"model": MODEL, "inputs": "x", "parameters": parameters})
        assert web.urls[-1] == "http://host/v1/completions"


class TestErrorsOfTheHub:
    def fail(self, side, answer):
        """Return the error of a call for which this is the answer of the Hub."""
        client = side.client(fetch=side.fetch(lambda _: answer), api_key="hf_key", max_retries=0)
        with pytest.raises(hfgen.HfgenError) as caught:
            side.call(client.run, {"model": MODEL, "inputs": "x"}, provider="together")
        return caught.value

    def test_an_unknown_model(self, side):
        error = self.fail(side, _json({"error": "Repository not found"}, 404))
        assert isinstance(error, hfgen.NotFoundError)
        assert "knows no model" in error.message

    @pytest.mark.parametrize(
        ("status", "kind"), [(403, hfgen.PermissionDeniedError), (500, hfgen.ServerError)]
    )
    def test_another_status(self, side, status, kind):
        error = self.fail(side, _json({"error": "because"}, status))
        assert type(error) is kind
        assert "because" in error.message

    def test_a_web_page(self, side):
        error = self.fail(side, reply(b"<html>", content_type="text/html"))
        assert isinstance(error, hfgen.MalformedAnswerError)

    @pytest.mark.parametrize("entry", [TEXT, {**TEXT, "providerId": None}, {"task": ["x"]}])
    def test_a_mapping_without_names(self, side, entry):
        document = {"id": MODEL, "inferenceProviderMapping": {"together": entry}}
        error = self.fail(side, _json(document))
        assert isinstance(error, hfgen.NotFoundError)
        assert "no provider" in error.message
