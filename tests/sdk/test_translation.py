"""A client of one dialect, a target of the other."""

import json

import anthropic
import openai
import pytest

from conftest import user
from test_anthropic import CLOCK as ANT_CLOCK
from test_anthropic import WEATHER as ANT_WEATHER
from test_openai import CLOCK, WEATHER, Forecast


def test_openai_asks_an_anthropic_target(oai):
    answer = oai.chat.completions.create(model="ant/echo", messages=user("across"))
    assert answer.choices[0].message.content == "echo: across"
    assert (answer.model, answer.choices[0].finish_reason) == ("ant/echo", "stop")
    assert answer.usage.completion_tokens == 2


def test_openai_streams_from_an_anthropic_target(oai):
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(oai.chat.completions.create(model="ant/echo", messages=user("a cross b"), **asked))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "echo: a cross b"
    assert chunks[-1].usage.completion_tokens == 4


async def test_async_openai_streams_from_an_anthropic_target(async_oai):
    async with async_oai.chat.completions.stream(model="ant/echo", messages=user("across")) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == "echo: across"


def test_openai_tools_reach_an_anthropic_target_and_back(oai):
    messages = user("weather?")
    first = oai.chat.completions.create(model="ant/echo", messages=messages, tools=[WEATHER])
    call = first.choices[0].message.tool_calls[0]
    assert first.choices[0].finish_reason == "tool_calls"
    assert json.loads(call.function.arguments) == {"city": "Paris", "days": 7}
    messages += [first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    second = oai.chat.completions.create(model="ant/echo", messages=messages, tools=[WEATHER])
    assert second.choices[0].message.content == "The tool said: sunny"


def test_openai_gets_parallel_streamed_calls_of_an_anthropic_target(oai):
    with oai.chat.completions.stream(
        model="ant/echo", messages=user("both"), tools=[WEATHER, CLOCK], parallel_tool_calls=True
    ) as stream:
        calls = stream.get_final_completion().choices[0].message.tool_calls
    assert [c.function.name for c in calls] == ["weather", "clock"]
    assert json.loads(calls[0].function.arguments) == {"city": "Paris", "days": 7}


def test_openai_parses_the_answer_of_an_anthropic_target(oai):
    answer = oai.chat.completions.parse(model="ant/echo", messages=user("forecast"), response_format=Forecast)
    assert answer.choices[0].message.parsed.city == "Paris"


def test_openai_sees_the_thinking_of_an_anthropic_target(oai):
    answer = oai.chat.completions.create(
        model="ant/echo", messages=user("deep"), reasoning_effort="low", max_completion_tokens=4096
    )
    assert answer.choices[0].message.model_extra["reasoning_content"] == "let me think"
    assert answer.choices[0].message.content == "echo: deep"


def test_trap_s2_parameters_without_a_form_are_named_in_a_header(oai):
    raw = oai.chat.completions.with_raw_response.create(
        model="ant/echo", messages=user("hi"), seed=7, presence_penalty=0.5
    )
    dropped = raw.headers["bedplate-dropped"].split(", ")
    assert {"seed", "presence_penalty"} <= set(dropped)


def test_a_parameter_that_changes_the_answer_is_refused_not_dropped(oai):
    with pytest.raises(openai.BadRequestError) as refused:
        oai.chat.completions.create(model="ant/echo", messages=user("hi"), n=2)
    assert (refused.value.code, refused.value.param) == ("DI0006", "n")


def test_openai_images_reach_an_anthropic_target(oai):
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    content = [image, {"type": "text", "text": "what is it"}]
    answer = oai.chat.completions.create(model="ant/echo", messages=[{"role": "user", "content": content}])
    assert answer.choices[0].message.content == "echo: what is it"


def test_anthropic_asks_an_openai_target(ant):
    message = ant.messages.create(
        model="oai/echo", max_tokens=64, system="be brief", messages=user("across"), stop_sequences=["END"]
    )
    assert (message.content[0].text, message.stop_reason) == ("echo: across", "end_turn")
    assert message.model == "oai/echo" and message.usage.output_tokens == 2


def test_anthropic_streams_from_an_openai_target(ant):
    with ant.messages.stream(model="oai/echo", max_tokens=64, messages=user("a cross b")) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == final.content[0].text == "echo: a cross b"
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 4)
    assert final.usage.input_tokens > 0


async def test_async_anthropic_streams_from_an_openai_target(async_ant):
    async with async_ant.messages.stream(model="oai/echo", max_tokens=64, messages=user("across")) as stream:
        final = await stream.get_final_message()
    assert final.content[0].text == "echo: across"


def test_anthropic_tools_reach_an_openai_target_and_back(ant):
    messages = user("weather?")
    first = ant.messages.create(model="oai/echo", max_tokens=64, messages=messages, tools=[ANT_WEATHER])
    use = first.content[0]
    assert (first.stop_reason, use.name, use.input) == ("tool_use", "weather", {"city": "Paris", "days": 7})
    result = {"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": "sunny"}]}
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = ant.messages.create(model="oai/echo", max_tokens=64, messages=messages, tools=[ANT_WEATHER])
    assert second.content[0].text == "The tool said: sunny"


def test_anthropic_gets_parallel_streamed_calls_of_an_openai_target(ant):
    choice = {"type": "auto", "disable_parallel_tool_use": False}
    with ant.messages.stream(
        model="oai/echo", max_tokens=64, messages=user("x"), tools=[ANT_WEATHER, ANT_CLOCK], tool_choice=choice
    ) as stream:
        final = stream.get_final_message()
    assert [(b.name, b.input) for b in final.content] == [("weather", {"city": "Paris", "days": 7}), ("clock", {})]


def test_anthropic_sees_the_reasoning_of_an_openai_target(ant):
    message = ant.messages.create(model="oai/reasoning", max_tokens=64, messages=user("deep"))
    assert [b.type for b in message.content] == ["thinking", "text"]
    assert message.content[0].thinking == "let me think"
    with ant.messages.stream(model="oai/reasoning", max_tokens=64, messages=user("deep")) as stream:
        final = stream.get_final_message()
    assert [b.type for b in final.content] == ["thinking", "text"]


def test_an_error_inside_a_translated_stream_is_raised(ant, oai):
    with pytest.raises(anthropic.APIStatusError) as told:
        with ant.messages.stream(model="oai/error-event", max_tokens=64, messages=user("a b c d")) as stream:
            stream.get_final_message()
    assert told.value.body["error"] == {"type": "api_error", "message": "the model fell over"}
    with pytest.raises(openai.APIError) as told:
        list(oai.chat.completions.create(model="ant/error-event", messages=user("a b c d"), stream=True))
    assert (told.value.type, told.value.message) == ("overloaded_error", "Overloaded")
