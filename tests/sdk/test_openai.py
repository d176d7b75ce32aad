"""The OpenAI client against a target that speaks its dialect."""

import base64
import struct

import pytest
from pydantic import BaseModel

from conftest import user

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}


class Forecast(BaseModel):
    city: str
    days: int
    tags: list[str]


def test_a_chat_is_answered(oai):
    answer = oai.chat.completions.create(model="oai/echo", messages=user("hello there"))
    assert answer.choices[0].message.content == "echo: hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


async def test_an_async_chat_is_answered(async_oai):
    answer = await async_oai.chat.completions.create(model="oai/echo", messages=user("hello async"))
    assert answer.choices[0].message.content == "echo: hello async"


def test_a_stream_joins_to_the_whole_text(oai):
    chunks = list(oai.chat.completions.create(model="oai/echo", messages=user("one two three"), stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "echo: one two three"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason] == ["stop"]


async def test_an_async_stream_joins_to_the_whole_text(async_oai):
    stream = await async_oai.chat.completions.create(model="oai/echo", messages=user("a b c"), stream=True)
    assert "".join([c.choices[0].delta.content or "" async for c in stream]) == "echo: a b c"


def test_a_long_stream_arrives_in_its_own_chunks(oai):
    stream = oai.chat.completions.create(model="oai/chunks:64", messages=user("go"), stream=True)
    pieces = [c.choices[0].delta.content for c in stream if c.choices[0].delta.content]
    assert pieces == [f"t{i} " for i in range(64)]


def test_trap_s1_usage_comes_only_to_those_who_asked(oai):
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    with_usage = list(oai.chat.completions.create(model="oai/echo", messages=user("hi you"), **asked))
    assert with_usage[-1].choices == [] and with_usage[-1].usage.completion_tokens == 3
    without = list(oai.chat.completions.create(model="oai/echo", messages=user("hi you"), stream=True))
    assert all(c.usage is None and c.choices for c in without)


@pytest.mark.parametrize("model", ["oai/groq-usage", "oai/usage-twice", "oai/no-usage"])
def test_trap_s1_odd_usage_does_not_end_a_stream(oai, model):
    stream = oai.chat.completions.create(model=model, messages=user("still whole"), stream=True)
    text = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
    assert text == "echo: still whole"


def test_the_stream_helper_gathers_the_final_completion(oai):
    with oai.chat.completions.stream(model="oai/echo", messages=user("gather me")) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == final.choices[0].message.content == "echo: gather me"


async def test_the_async_stream_helper_gathers_the_final_completion(async_oai):
    async with async_oai.chat.completions.stream(model="oai/echo", messages=user("gather me")) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == "echo: gather me"


def test_several_choices_are_answered(oai):
    answer = oai.chat.completions.create(model="oai/echo", messages=user("twice"), n=2)
    assert [c.index for c in answer.choices] == [0, 1]
    assert all(c.message.content == "echo: twice" for c in answer.choices)


def test_several_choices_stream_side_by_side(oai):
    texts = {0: "", 1: ""}
    for chunk in oai.chat.completions.create(model="oai/echo", messages=user("twice"), n=2, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == {0: "echo: twice", 1: "echo: twice"}


def test_an_answer_is_cut_at_max_completion_tokens(oai):
    answer = oai.chat.completions.create(model="oai/echo", messages=user("a b c d"), max_completion_tokens=3)
    assert answer.choices[0].message.content == "echo: a b"
    assert answer.choices[0].finish_reason == "length"


def test_logprobs_of_the_target_reach_the_client(oai):
    answer = oai.chat.completions.create(model="oai/echo", messages=user("how sure"), logprobs=True)
    tokens = answer.choices[0].logprobs.content
    assert [t.token for t in tokens] == ["echo: ", "how ", "sure"]
    assert tokens[0].logprob == -0.25 and bytes(tokens[0].bytes) == b"echo: "


def test_images_as_parts_are_accepted(oai):
    png = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()
    content = [{"type": "text", "text": "what is it"}, {"type": "image_url", "image_url": {"url": png}}]
    answer = oai.chat.completions.create(model="oai/echo", messages=[{"role": "user", "content": content}])
    assert answer.choices[0].message.content == "echo: what is it"


def test_trap_s2_fields_we_do_not_know_pass_in_both_directions(oai):
    answer = oai.chat.completions.create(
        model="oai/reasoning", messages=user("deep"), extra_body={"vendor_knob": {"a": [1, 2]}}
    )
    assert answer.choices[0].message.model_extra["reasoning_content"] == "let me think"
    assert answer.system_fingerprint == "fp_test"


def test_a_tool_is_called_and_its_result_answered(oai):
    messages = user("weather?")
    first = oai.chat.completions.create(model="oai/echo", messages=messages, tools=[WEATHER])
    call = first.choices[0].message.tool_calls[0]
    assert first.choices[0].finish_reason == "tool_calls"
    assert (call.function.name, call.function.arguments) == ("weather", '{"city":"Paris","days":7}')
    messages += [first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    second = oai.chat.completions.create(model="oai/echo", messages=messages, tools=[WEATHER])
    assert second.choices[0].message.content == "The tool said: sunny"


def test_tools_are_called_in_parallel(oai):
    answer = oai.chat.completions.create(
        model="oai/echo", messages=user("both"), tools=[WEATHER, CLOCK], parallel_tool_calls=True
    )
    calls = answer.choices[0].message.tool_calls
    assert [c.function.name for c in calls] == ["weather", "clock"]
    assert len({c.id for c in calls}) == 2


def test_trap_s5_streamed_tool_calls_keep_their_fragments(oai):
    calls = {}
    for chunk in oai.chat.completions.create(
        model="oai/echo", messages=user("both"), tools=[WEATHER, CLOCK], parallel_tool_calls=True, stream=True
    ):
        for part in chunk.choices[0].delta.tool_calls or []:
            call = calls.setdefault(part.index, {"ids": [], "names": [], "arguments": ""})
            call["ids"] += [part.id] if part.id else []
            call["names"] += [part.function.name] if part.function.name else []
            call["arguments"] += part.function.arguments or ""
    assert [c["names"] for c in calls.values()] == [["weather"], ["clock"]]
    assert all(len(c["ids"]) == 1 for c in calls.values())
    assert calls[0]["arguments"] == '{"city":"Paris","days":7}'


def test_a_named_tool_choice_is_honoured(oai):
    choice = {"type": "function", "function": {"name": "clock"}}
    answer = oai.chat.completions.create(
        model="oai/echo", messages=user("time"), tools=[WEATHER, CLOCK], tool_choice=choice
    )
    assert [c.function.name for c in answer.choices[0].message.tool_calls] == ["clock"]


def test_an_answer_parses_into_a_pydantic_model(oai):
    answer = oai.chat.completions.parse(model="oai/echo", messages=user("forecast"), response_format=Forecast)
    assert answer.choices[0].message.parsed == Forecast(city="Paris", days=7, tags=["Paris"])


async def test_an_async_answer_parses_into_a_pydantic_model(async_oai):
    answer = await async_oai.chat.completions.parse(
        model="oai/echo", messages=user("forecast"), response_format=Forecast
    )
    assert answer.choices[0].message.parsed.days == 7


def test_a_streamed_answer_parses_into_a_pydantic_model(oai):
    with oai.chat.completions.stream(
        model="oai/echo", messages=user("forecast"), response_format=Forecast
    ) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed.city == "Paris"


def test_json_mode_gives_json(oai):
    answer = oai.chat.completions.create(
        model="oai/echo", messages=user("say json"), response_format={"type": "json_object"}
    )
    assert answer.choices[0].message.content == '{"echo":"say json"}'


def test_a_legacy_completion_is_answered(oai):
    answer = oai.completions.create(model="oai/echo", prompt="once upon", max_tokens=16)
    assert answer.object == "text_completion"
    assert answer.choices[0].text == "echo: once upon"


def test_a_legacy_completion_streams(oai):
    stream = oai.completions.create(model="oai/echo", prompt="once upon", stream=True)
    assert "".join(c.choices[0].text for c in stream if c.choices) == "echo: once upon"


def test_embeddings_are_decoded_from_base64_by_default(oai):
    answer = oai.embeddings.create(model="oai/echo", input=["first text", "second"])
    assert [d.index for d in answer.data] == [0, 1]
    assert all(len(d.embedding) == 8 and isinstance(d.embedding[0], float) for d in answer.data)
    assert answer.usage.prompt_tokens == 3


def test_embeddings_as_floats_equal_those_as_base64(oai):
    floats = oai.embeddings.create(model="oai/echo", input="the same", encoding_format="float").data[0].embedding
    raw = oai.embeddings.with_raw_response.create(model="oai/echo", input="the same", encoding_format="base64")
    packed = base64.b64decode(raw.http_response.json()["data"][0]["embedding"])
    assert struct.unpack("<8f", packed) == pytest.approx(floats, abs=1e-6)


async def test_async_embeddings(async_oai):
    answer = await async_oai.embeddings.create(model="oai/echo", input="text")
    assert len(answer.data[0].embedding) == 8


def test_models_are_listed_and_retrieved(oai):
    names = [m.id for m in oai.models.list()]
    assert "bedplate-guide" in names and "oai/echo" in names
    # Names with a slash and a colon arrive percent-encoded.
    for name in ["bedplate-guide", "oai/chunks:64"]:
        assert oai.models.retrieve(name).id == name


def test_a_provider_that_fails_once_is_asked_again(oai, server, fails_once):
    model = fails_once("scripted-openai")
    raw = oai.chat.completions.with_raw_response.create(model=model, messages=user("again"))
    assert raw.parse().choices[0].message.content == "echo: again"
    attempts = server.record(raw.headers["x-request-id"])["attempts"]
    assert [a["outcome"] for a in attempts] == ["failed", "ok"]
