"""Refusals and failures, as the exceptions that the clients' users catch."""

import re

import anthropic
import httpx
import openai
import pytest

from conftest import user
from server import CANARY

HI = user("hi")


def counted(client_class, hits: list):
    """An HTTP client that notes each request it sends."""
    return client_class(event_hooks={"request": [lambda request: hits.append(request)]})


def test_a_wrong_key_is_an_authentication_error(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="bp-" + "1" * 49) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            client.chat.completions.create(model="oai/echo", messages=HI)
    assert (refused.value.code, refused.value.type) == ("ID0002", "authentication_error")
    with anthropic.Anthropic(base_url=server.url, api_key="nonsense") as client:
        with pytest.raises(anthropic.AuthenticationError) as refused:
            client.messages.create(model="ant/echo", max_tokens=9, messages=HI)
    assert refused.value.body["error"]["type"] == "authentication_error"


def test_a_revoked_key_is_an_authentication_error(new_access, server):
    access = new_access()
    with access.openai() as client:
        client.models.list()
        assert server.api.delete(f"/keys/{access.id}").is_success
        with pytest.raises(openai.AuthenticationError) as refused:
            client.chat.completions.create(model="oai/echo", messages=HI)
    assert refused.value.code == "ID0004"


def test_a_model_that_is_not_granted_is_a_permission_error(new_access):
    access = new_access(models=["oai/echo"])
    with access.openai() as client:
        client.chat.completions.create(model="oai/echo", messages=HI)
        assert [m.id for m in client.models.list()] == ["oai/echo"]
        with pytest.raises(openai.PermissionDeniedError) as refused:
            client.chat.completions.create(model="ant/echo", messages=HI)
    assert refused.value.code == "ID0005"
    with access.anthropic() as client, pytest.raises(anthropic.PermissionDeniedError):
        client.messages.create(model="ant/echo", max_tokens=9, messages=HI)


def test_an_unknown_model_is_a_not_found_error(oai, ant):
    with pytest.raises(openai.NotFoundError) as refused:
        oai.chat.completions.create(model="no-such-model", messages=HI)
    assert refused.value.code == "GW0005" and "no-such-model" in refused.value.message
    with pytest.raises(openai.NotFoundError):
        oai.models.retrieve("no-such-model")
    with pytest.raises(anthropic.NotFoundError) as refused:
        ant.messages.create(model="no-such-model", max_tokens=9, messages=HI)
    assert refused.value.body["error"]["type"] == "not_found_error"


def test_a_key_over_its_rate_is_a_rate_limit_error_with_retry_after(new_access):
    access = new_access(requests_per_minute=1)
    with access.openai() as client:
        client.chat.completions.create(model="oai/echo", messages=HI)
        with pytest.raises(openai.RateLimitError) as refused:
            client.chat.completions.create(model="oai/echo", messages=HI)
    assert refused.value.code == "ID0007"
    # A minute, and the two seconds to which the limiter counts.
    assert 1 <= int(refused.value.response.headers["retry-after"]) <= 62
    with access.anthropic() as client, pytest.raises(anthropic.RateLimitError):
        client.messages.create(model="ant/echo", max_tokens=9, messages=HI)


def test_a_providers_rate_limit_keeps_its_retry_after(oai):
    with pytest.raises(openai.RateLimitError) as refused:
        oai.chat.completions.create(model="oai/429-seconds:7", messages=HI)
    assert refused.value.code == "UP0006"
    assert int(refused.value.response.headers["retry-after"]) <= 7


def test_a_spent_budget_is_402_and_no_client_retries_it(new_access):
    access = new_access()
    access.budget("0.000001")
    hits = []
    transport = counted(openai.DefaultHttpx2Client, hits)
    with access.openai(max_retries=3, http_client=transport) as client:
        with pytest.raises(openai.APIStatusError) as refused:
            client.chat.completions.create(model="oai/echo", messages=HI)
    assert (refused.value.status_code, refused.value.type) == (402, "insufficient_quota")
    assert refused.value.code.startswith("LG02")
    assert len(hits) == 1
    hits = []
    transport = counted(anthropic.DefaultHttpxClient, hits)
    with access.anthropic(max_retries=3, http_client=transport) as client:
        with pytest.raises(anthropic.APIStatusError) as refused:
            client.messages.create(model="ant/echo", max_tokens=9, messages=HI)
    assert refused.value.status_code == 402
    assert refused.value.body["error"]["type"] == "billing_error"
    assert len(hits) == 1


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 99}, "temperature"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"max_completion_tokens": 10**30}, "max_completion_tokens"),
        ({"n": 0}, "n"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    ],
)
def test_a_field_that_cannot_be_is_a_bad_request_that_names_it(oai, fields, param):
    asked = {"model": "bedplate-guide", "messages": HI} | fields
    with pytest.raises(openai.BadRequestError) as refused:
        oai.chat.completions.create(**asked)
    assert refused.value.param == param
    assert refused.value.code in ("DI0004", "DI0005")


def test_a_missing_max_tokens_is_a_bad_request_in_anthropics_form(shared):
    with shared.http() as http:
        response = http.post("/v1/messages", json={"model": "bedplate-guide", "messages": HI})
    body = response.json()
    assert (response.status_code, body["type"], body["error"]["type"]) == (400, "error", "invalid_request_error")
    assert "max_tokens" in body["error"]["message"]
    assert body["request_id"] == response.headers["request-id"]


def test_trap_s8_a_prompt_over_the_context_is_refused_with_both_numbers(oai, ant):
    long = user("word " * 4000)
    with pytest.raises(openai.BadRequestError) as refused:
        oai.chat.completions.create(model="bedplate-guide", messages=long)
    assert refused.value.code == "context_length_exceeded"
    assert re.search(r"prompt has (at least )?\d{4,} tokens .* context has 1024", refused.value.message)
    # Just over the context the engine itself counts: the number is exact.
    counted = ant.messages.count_tokens(model="bedplate-guide", messages=user("word " * 1100)).input_tokens
    with pytest.raises(openai.BadRequestError) as refused:
        oai.chat.completions.create(model="bedplate-guide", messages=user("word " * 1100))
    assert f"prompt has {counted} tokens" in refused.value.message
    with pytest.raises(openai.BadRequestError) as refused:
        oai.chat.completions.create(model="bedplate-guide", messages=long, stream=True)
    assert refused.value.code == "context_length_exceeded"
    with pytest.raises(anthropic.BadRequestError) as refused:
        ant.messages.create(model="bedplate-guide", max_tokens=9, messages=long)
    assert "prompt is too long" in refused.value.body["error"]["message"]


def test_a_failing_provider_is_an_internal_server_error(oai, ant):
    with pytest.raises(openai.InternalServerError) as failed:
        oai.chat.completions.create(model="oai/500", messages=HI)
    assert failed.value.status_code == 502 and failed.value.code == "UP0001"
    with pytest.raises(anthropic.InternalServerError):
        ant.messages.create(model="ant/500", max_tokens=9, messages=HI)


def test_trap_x4_a_provider_that_refuses_our_key_does_not_blame_the_client(oai, server):
    with pytest.raises(openai.InternalServerError) as failed:
        oai.chat.completions.create(model="oai/401", messages=HI)
    record = server.record(failed.value.response.headers["x-request-id"])
    for sink in (failed.value.response.text, str(failed.value.response.headers), str(record), server.output()):
        assert CANARY not in sink


def test_a_request_that_the_provider_finds_invalid_is_a_bad_request(oai):
    with pytest.raises(openai.BadRequestError) as refused:
        oai.chat.completions.create(model="oai/400", messages=HI)
    assert refused.value.code == "UP0007"


LONGER = user("a b c d e f")


def test_trap_s4_a_cut_stream_is_an_error_not_an_end(oai, shared, server):
    asked = {"model": "oai/cut-stream:2", "messages": LONGER, "stream": True}
    with pytest.raises(openai.APIError) as told:
        chunks = []
        for chunk in oai.chat.completions.create(**asked):
            chunks.append(chunk)
    assert told.value.code == "UP0005"
    assert not any(c.choices[0].finish_reason for c in chunks)
    # The connection breaks off after the reason, for clients that read no errors.
    with shared.http() as http, http.stream("POST", "/v1/chat/completions", json=asked) as response:
        text = ""
        with pytest.raises(httpx.RemoteProtocolError):
            for piece in response.iter_text():
                text += piece
    assert ": bedplate-cost " in text and "UP0005" in text and "[DONE]" not in text
    record = server.record(response.headers["x-request-id"])
    assert (record["outcome"], record["error_code"]) == ("failed", "UP0005")
    assert float(record["cost_usd"]) > 0


@pytest.mark.parametrize("model", ["ant/cut-stream:3", "oai/cut-stream:2"])
def test_trap_s4_a_cut_message_is_an_error_not_an_end(ant, model):
    with pytest.raises(anthropic.APIStatusError) as told:
        with ant.messages.stream(model=model, max_tokens=64, messages=LONGER) as stream:
            stream.get_final_message()
    assert told.value.body["error"]["type"] == "api_error"
    assert told.value.body["error"]["code"] == "UP0005"


def test_errors_carry_the_request_id_that_explain_takes(oai, server):
    with pytest.raises(openai.InternalServerError) as failed:
        oai.chat.completions.create(model="oai/500", messages=HI)
    record = server.record(failed.value.request_id)
    assert (record["outcome"], record["error_code"], record["status"]) == ("failed", "UP0001", 502)
