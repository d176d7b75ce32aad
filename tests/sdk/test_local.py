"""The embedded engine with the built-in model, through both clients.

The model is retrained as the documentation grows: nothing here depends on its words.
"""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import openai
import pydantic
import pytest

from conftest import user
from server import until

GUIDE = "bedplate-guide"
BUDGET = user("What is a budget?")


# The newest client has no argument for it; servers of the dialect still take it.
GREEDY = {"extra_body": {"temperature": 0}}


def greedy(client, messages=BUDGET, **options):
    return client.chat.completions.create(model=GUIDE, messages=messages, temperature=0, **options)


def test_a_chat_is_computed(oai):
    answer = greedy(oai)
    text = answer.choices[0].message.content
    assert len(text) > 20 and answer.model == GUIDE
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens > 3 and answer.usage.completion_tokens > 3


def test_a_stream_equals_the_whole_answer(oai):
    whole = greedy(oai)
    chunks = list(greedy(oai, stream=True, stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


def test_max_tokens_cuts_the_answer(oai):
    answer = greedy(oai, max_tokens=3)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3
    assert greedy(oai).choices[0].message.content.startswith(answer.choices[0].message.content)


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_string_ends_the_answer_and_is_not_shown(oai, stream):
    whole = greedy(oai).choices[0].message.content
    # From the middle of a word to the middle of the next: it crosses token borders.
    space = whole.index(" ", 8)
    stop = whole[space - 2 : space + 3]
    answer = greedy(oai, stop=[stop, "never said"], stream=stream)
    if stream:
        chunks = list(answer)
        text = "".join(c.choices[0].delta.content or "" for c in chunks)
        reason = chunks[-1].choices[0].finish_reason
    else:
        text, reason = answer.choices[0].message.content, answer.choices[0].finish_reason
    assert (text, reason) == (whole[: whole.index(stop)], "stop")


def test_a_seed_repeats_the_same_sampling(oai):
    def sampled(seed):
        # The guide is sure of its answers: only a flat distribution leaves the seed a choice.
        answer = oai.chat.completions.create(
            model=GUIDE, messages=BUDGET, temperature=2, seed=seed, max_tokens=24, extra_body={"min_p": 0}
        )
        return answer.choices[0].message.content

    assert sampled(7) == sampled(7)
    assert len({sampled(seed) for seed in range(8)}) > 1


def test_logprobs_cover_the_answer(oai):
    answer = greedy(oai, logprobs=True, top_logprobs=3, max_tokens=8)
    tokens = answer.choices[0].logprobs.content
    text = b"".join(bytes(t.bytes) for t in tokens).decode()
    assert text.strip() == answer.choices[0].message.content.strip()
    assert all(t.logprob <= 0 and len(t.top_logprobs) == 3 for t in tokens)


def test_several_choices_are_computed(oai):
    answer = oai.chat.completions.create(model=GUIDE, messages=BUDGET, temperature=1, n=2, max_tokens=8)
    assert [c.index for c in answer.choices] == [0, 1]
    assert all(c.message.content for c in answer.choices)


def test_a_logit_bias_forces_and_bars_a_token(oai):
    def forced(token):
        return greedy(oai, max_tokens=3, logit_bias={str(token): 100}, logprobs=True).choices[0].logprobs.content

    assert [t.token for t in forced(300)] == [forced(300)[0].token] * 3
    assert forced(300)[0].token != forced(301)[0].token
    with pytest.raises(openai.BadRequestError) as refused:
        forced(1 << 24)
    assert refused.value.code == "EN0004"


@pytest.mark.parametrize("stream", [False, True])
def test_trap_s2_what_the_engine_is_not_told_is_named_in_a_header(oai, stream):
    raw = oai.chat.completions.with_raw_response.create(
        model=GUIDE, messages=BUDGET, store=True, extra_body={"vendor_knob": 1}, max_tokens=2, stream=stream
    )
    assert set(raw.headers["bedplate-dropped"].split(", ")) == {"store", "vendor_knob"}
    raw.http_response.close()


def test_a_legacy_completion_continues_the_text(oai):
    answer = oai.completions.create(model=GUIDE, prompt="A budget is", max_tokens=8, temperature=0)
    assert answer.choices[0].text
    assert answer.usage.completion_tokens <= 8


def test_the_anthropic_client_gets_the_same_words(oai, ant):
    message = ant.messages.create(model=GUIDE, max_tokens=200, messages=BUDGET, **GREEDY)
    assert message.content[0].text == greedy(oai).choices[0].message.content
    assert message.stop_reason == "end_turn"
    with ant.messages.stream(model=GUIDE, max_tokens=200, messages=BUDGET, **GREEDY) as stream:
        final = stream.get_final_message()
    assert (final.content[0].text, final.usage.output_tokens) == (message.content[0].text, message.usage.output_tokens)


async def test_the_async_anthropic_client_streams(async_ant):
    async with async_ant.messages.stream(model=GUIDE, max_tokens=40, messages=BUDGET) as stream:
        assert "".join([piece async for piece in stream.text_stream])


def test_a_stop_sequence_is_named_to_anthropics_client(oai, ant):
    word = greedy(oai).choices[0].message.content.split()[3]
    message = ant.messages.create(
        model=GUIDE, max_tokens=200, messages=BUDGET, **GREEDY, stop_sequences=[word]
    )
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", word)
    assert word not in message.content[0].text


def test_eight_at_once_get_the_answers_they_get_alone(oai):
    questions = [
        f"What is a {w}?" for w in ["budget", "key", "team", "token", "model", "provider", "ledger", "record"]
    ]

    def ask(question):
        return greedy(oai, user(question), max_tokens=24).choices[0].message.content

    alone = [ask(q) for q in questions]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(ask, questions))
    assert all(together)
    # Batched sums round differently, so a near tie may fall the other way; most must agree.
    assert sum(a == b for a, b in zip(alone, together)) >= 6


async def test_async_requests_share_the_engine(async_oai):
    answers = await asyncio.gather(*[greedy(async_oai, max_tokens=12) for _ in range(4)])
    assert all(a.choices[0].message.content for a in answers)


def test_trap_m4_closing_a_stream_stops_the_engine_and_bills_what_was_made(oai, server):
    # One token for ever: without the client's leaving it would come 900 times.
    raw = oai.chat.completions.with_raw_response.create(
        model=GUIDE, messages=BUDGET, logit_bias={"300": 100}, stream=True, max_tokens=900
    )
    stream = raw.parse()
    next(iter(stream))
    stream.close()
    record = server.record(raw.headers["x-request-id"])
    assert (record["outcome"], record["attempts"][0]["outcome"]) == ("abandoned", "cancelled")
    assert record["attempts"][0]["tokens"]["output"] < 900
    assert float(record["cost_usd"]) > 0


def test_trap_m4_closing_a_stream_cancels_the_provider(oai, server):
    raw = oai.chat.completions.with_raw_response.create(
        model="oai/hang-mid-stream:2", messages=user("a b c d"), stream=True
    )
    stream = raw.parse()
    next(iter(stream))
    stream.close()
    record = server.record(raw.headers["x-request-id"])
    assert (record["outcome"], record["attempts"][0]["outcome"]) == ("abandoned", "cancelled")
    assert record["attempts"][0]["estimated"] and float(record["cost_usd"]) > 0


async def test_an_async_client_that_leaves_frees_the_budget(new_access, server):
    access = new_access()
    access.budget("0.05")
    async with access.async_openai() as client:
        stream = await client.chat.completions.create(
            model="oai/hang-mid-stream:2", messages=user("a b c"), stream=True, max_tokens=100
        )
        await anext(aiter(stream))
        await stream.close()
    name = f"b-{access.team}"

    def released():
        budget = next(b for b in server.get("/budgets")["data"] if b["name"] == name)
        return budget if float(budget["held_usd"]) == 0 and float(budget["spent_usd"]) > 0 else None

    assert until("the hold is settled", released)


class Review(pydantic.BaseModel):
    topic: Literal["budget", "key", "ledger"]
    stars: int = pydantic.Field(ge=1, le=5)
    words: list[pydantic.constr(max_length=8)] = pydantic.Field(max_length=2)


@pytest.mark.parametrize("temperature", [0, 2])
def test_an_answer_is_parsed_into_a_pydantic_model(oai, temperature):
    # The guide has never seen JSON: every token of it is the grammar's.
    answer = oai.chat.completions.parse(
        model=GUIDE, messages=BUDGET, response_format=Review, temperature=temperature, seed=3, max_tokens=300
    )
    assert answer.choices[0].finish_reason == "stop"
    review = answer.choices[0].message.parsed
    assert review.stars in range(1, 6) and len(review.words) <= 2


def schema(text):
    return {"type": "json_schema", "json_schema": {"name": "s", "strict": True, "schema": text}}


def test_a_stream_is_held_to_its_schema(oai):
    wanted = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
    chunks = greedy(oai, stream=True, response_format=schema(wanted), max_tokens=100)
    text = "".join(c.choices[0].delta.content or "" for c in chunks)
    assert list(json.loads(text)) == ["n"]


def test_a_json_object_begins_as_one(oai):
    answer = greedy(oai, response_format={"type": "json_object"}, max_tokens=60)
    assert answer.choices[0].message.content.startswith("{")


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, "EN0010"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "EN0011"),
    ],
)
def test_a_schema_that_cannot_be_held_is_refused(oai, wanted, code):
    with pytest.raises(openai.BadRequestError) as refused:
        greedy(oai, response_format=schema(wanted))
    assert refused.value.code == code


@pytest.mark.parametrize(
    "form",
    [
        {"choice": ["a budget", "no budget"]},
        {"regex": "(a|no) budget"},
        {"grammar": 'start: ("a" | "no") " budget"'},
    ],
)
def test_an_answer_is_held_to_a_form(oai, form):
    answer = greedy(oai, extra_body={"structured_outputs": form}, max_tokens=60)
    assert answer.choices[0].message.content in ("a budget", "no budget")
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("field", ["guided_regex", "grammar"])
def test_another_servers_word_for_a_form_is_not_ignored(oai, field):
    with pytest.raises(openai.BadRequestError) as refused:
        greedy(oai, extra_body={field: "a"})
    assert refused.value.code == "EN0010"


def test_a_template_without_tools_cannot_be_made_to_call(oai):
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    with pytest.raises(openai.BadRequestError) as refused:
        greedy(oai, tools=[tool], tool_choice="required")
    assert refused.value.code == "EN0004"


def test_what_the_engine_cannot_do_is_refused(oai):
    with pytest.raises(openai.BadRequestError) as refused:
        oai.embeddings.create(model=GUIDE, input="a text")
    assert refused.value.code in ("EN0004", "GW0008")
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    with pytest.raises(openai.BadRequestError) as refused:
        oai.chat.completions.create(model=GUIDE, messages=[{"role": "user", "content": [image]}])
    assert refused.value.code == "EN0004"
