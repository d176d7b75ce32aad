"""The Anthropic client against a target that speaks its dialect."""

from conftest import user

WEATHER = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
}
CLOCK = {"name": "clock", "input_schema": {"type": "object", "properties": {}}}


def test_a_message_is_answered(ant):
    message = ant.messages.create(model="ant/echo", max_tokens=64, messages=user("hello there"))
    assert message.content[0].text == "echo: hello there"
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0 and message.usage.output_tokens == 3


async def test_an_async_message_is_answered(async_ant):
    message = await async_ant.messages.create(model="ant/echo", max_tokens=64, messages=user("hi async"))
    assert message.content[0].text == "echo: hi async"


def test_a_system_prompt_counts_as_input(ant):
    plain = ant.messages.create(model="ant/echo", max_tokens=64, messages=user("hi"))
    told = ant.messages.create(model="ant/echo", max_tokens=64, system="be very brief", messages=user("hi"))
    assert told.usage.input_tokens == plain.usage.input_tokens + 3


def test_a_message_is_cut_at_max_tokens(ant):
    message = ant.messages.create(model="ant/echo", max_tokens=2, messages=user("a b c"))
    assert (message.content[0].text, message.stop_reason) == ("echo: a", "max_tokens")


def test_raw_events_stream_in_order(ant):
    events = list(ant.messages.create(model="ant/echo", max_tokens=64, messages=user("a b"), stream=True))
    kinds = [e.type for e in events]
    assert kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"]
    assert "".join(e.delta.text for e in events if e.type == "content_block_delta") == "echo: a b"


def test_the_stream_helper_gathers_the_final_message(ant):
    with ant.messages.stream(model="ant/echo", max_tokens=64, messages=user("gather me")) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == final.content[0].text == "echo: gather me"
    assert final.usage.output_tokens == 3


async def test_the_async_stream_helper_gathers_the_final_message(async_ant):
    async with async_ant.messages.stream(model="ant/echo", max_tokens=64, messages=user("gather")) as stream:
        text = "".join([piece async for piece in stream.text_stream])
    assert text == "echo: gather"


def test_a_tool_is_used_and_its_result_answered(ant):
    messages = user("weather?")
    first = ant.messages.create(model="ant/echo", max_tokens=64, messages=messages, tools=[WEATHER])
    use = first.content[0]
    assert (first.stop_reason, use.name, use.input) == ("tool_use", "weather", {"city": "Paris", "days": 7})
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = ant.messages.create(model="ant/echo", max_tokens=64, messages=messages, tools=[WEATHER])
    assert second.content[0].text == "The tool said: sunny"


def test_tools_are_used_in_parallel(ant):
    choice = {"type": "auto", "disable_parallel_tool_use": False}
    message = ant.messages.create(
        model="ant/echo", max_tokens=64, messages=user("both"), tools=[WEATHER, CLOCK], tool_choice=choice
    )
    assert [b.name for b in message.content] == ["weather", "clock"]


def test_trap_s5_streamed_tool_input_is_put_together(ant):
    choice = {"type": "auto", "disable_parallel_tool_use": False}
    with ant.messages.stream(
        model="ant/echo", max_tokens=64, messages=user("both"), tools=[WEATHER, CLOCK], tool_choice=choice
    ) as stream:
        final = stream.get_final_message()
    assert [(b.name, b.input) for b in final.content] == [("weather", {"city": "Paris", "days": 7}), ("clock", {})]


def test_thinking_comes_before_the_text(ant):
    message = ant.messages.create(
        model="ant/echo", max_tokens=2048, messages=user("deep"), thinking={"type": "enabled", "budget_tokens": 1024}
    )
    assert [b.type for b in message.content] == ["thinking", "text"]
    assert (message.content[0].thinking, message.content[0].signature) == ("let me think", "c2lnbmVk")


def test_streamed_thinking_keeps_its_signature(ant):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    with ant.messages.stream(
        model="ant/echo", max_tokens=2048, messages=user("deep"), thinking=thinking
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_message()
    assert {"thinking", "signature", "text"} <= kinds
    assert (final.content[0].thinking, final.content[0].signature) == ("let me think", "c2lnbmVk")


def test_images_as_blocks_are_accepted(ant):
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "what is it"}]
    message = ant.messages.create(
        model="ant/echo", max_tokens=64, messages=[{"role": "user", "content": content}]
    )
    assert message.content[0].text == "echo: what is it"


def test_tokens_of_a_local_model_are_counted_exactly(ant):
    counted = ant.messages.count_tokens(model="bedplate-guide", messages=user("What is a budget?"))
    answered = ant.messages.create(
        model="bedplate-guide", max_tokens=1, messages=user("What is a budget?")
    )
    assert counted.input_tokens == answered.usage.input_tokens > 0


def test_tokens_of_a_remote_model_are_an_estimate_that_says_so(ant):
    raw = ant.messages.with_raw_response.count_tokens(model="ant/echo", messages=user("What is a budget?"))
    assert raw.parse().input_tokens > 0
    assert raw.headers["bedplate-estimated"] == "true"


def test_models_are_listed_and_retrieved_in_anthropics_form(ant):
    names = [m.id for m in ant.models.list()]
    assert "bedplate-guide" in names and "ant/echo" in names
    model = ant.models.retrieve("bedplate-guide")
    assert (model.type, model.id) == ("model", "bedplate-guide")
    assert model.created_at.year >= 2026
