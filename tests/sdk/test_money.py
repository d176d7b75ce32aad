"""Headers, costs and records: what is said, charged and remembered is one number."""

import json
from decimal import Decimal

import pytest

from conftest import price, user


def check(server, request_id: str, said: str):
    """The record of a request, whose cost is exactly what the client was told."""
    record = server.record(request_id)
    assert record["cost_usd"] == said
    assert "e" not in said.lower() and Decimal(said) >= 0
    lines = [line for attempt in record["attempts"] for line in attempt["lines"]]
    assert sum(Decimal(line["amount_usd"]) for line in lines) == Decimal(said)
    assert sum(Decimal(p["amount_usd"]) for p in record["postings"]) == 0
    return record


def comment(text: str) -> str:
    costs = [line for line in text.splitlines() if line.startswith(": bedplate-cost ")]
    assert len(costs) == 1, text
    return costs[0].removeprefix(": bedplate-cost ")


def test_every_answer_says_what_it_was(oai):
    headers = oai.chat.completions.with_raw_response.create(model="oai/echo", messages=user("hi")).headers
    assert headers["bedplate-target"] == "scripted-openai/echo"
    assert headers["bedplate-cache"] == "miss"
    assert len(headers["x-request-id"]) == 36
    assert "total;dur=" in headers["server-timing"] and "dispatch;dur=" in headers["server-timing"]


@pytest.mark.parametrize("model", ["oai/echo", "ant/echo", "bedplate-guide"])
def test_the_cost_of_a_chat_is_that_of_its_record(oai, server, model):
    raw = oai.chat.completions.with_raw_response.create(model=model, messages=user("what is it"), max_tokens=20)
    record = check(server, raw.headers["x-request-id"], raw.headers["bedplate-cost"])
    usage = raw.parse().usage
    tokens = record["attempts"][0]["tokens"]
    # What the engine did not compute again is counted apart, and is part of the prompt.
    read = tokens.get("cache_read", 0)
    assert (tokens["input"] + read, tokens["output"]) == (usage.prompt_tokens, usage.completion_tokens)
    if model != "bedplate-guide":
        assert Decimal(record["cost_usd"]) == price(usage.prompt_tokens, usage.completion_tokens)


@pytest.mark.parametrize("model", ["oai/echo", "ant/echo", "bedplate-guide"])
def test_the_cost_of_a_message_is_that_of_its_record(ant, server, model):
    raw = ant.messages.with_raw_response.create(model=model, messages=user("what is it"), max_tokens=20)
    record = check(server, raw.headers["request-id"], raw.headers["bedplate-cost"])
    usage = raw.parse().usage
    if model != "bedplate-guide":
        assert Decimal(record["cost_usd"]) == price(usage.input_tokens, usage.output_tokens)


def test_the_cost_of_embeddings_is_that_of_their_record(oai, server):
    raw = oai.embeddings.with_raw_response.create(model="oai/echo", input=["a b", "c"])
    record = check(server, raw.headers["x-request-id"], raw.headers["bedplate-cost"])
    assert Decimal(record["cost_usd"]) == price(3, 0)
    assert record["attempts"][0]["purpose"] == "embedding"


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/chat/completions", "oai/echo"),
        ("/v1/chat/completions", "ant/echo"),
        ("/v1/chat/completions", "bedplate-guide"),
        ("/v1/messages", "ant/echo"),
        ("/v1/messages", "oai/echo"),
        ("/v1/messages", "bedplate-guide"),
    ],
)
def test_trap_m3_a_stream_says_its_cost_in_a_comment_before_its_end(shared, server, path, model):
    asked = {"model": model, "messages": user("what is it"), "max_tokens": 20, "stream": True}
    with shared.http() as http, http.stream("POST", path, json=asked) as response:
        text = "".join(response.iter_text())
    said = comment(text)
    record = check(server, response.headers["x-request-id"], said)
    assert Decimal(said) > 0 and record["outcome"] == "completed"
    tail = text[text.index(": bedplate-cost") :]
    assert "[DONE]" in tail if path.endswith("completions") else "message_stop" in tail
    if model != "bedplate-guide":
        tokens = record["attempts"][0]["tokens"]
        assert Decimal(said) == price(tokens["input"], tokens["output"])


@pytest.mark.parametrize("model", ["oai/no-usage", "ant/no-usage"])
def test_trap_m3_a_stream_without_usage_is_estimated_never_free(shared, server, model):
    asked = {"model": model, "messages": user("some words to count"), "stream": True}
    with shared.http() as http, http.stream("POST", "/v1/chat/completions", json=asked) as response:
        text = "".join(response.iter_text())
    record = check(server, response.headers["x-request-id"], comment(text))
    assert record["attempts"][0]["estimated"]
    assert Decimal(record["cost_usd"]) > 0


def test_trap_m5_each_attempt_has_its_own_line(oai, server, fails_once):
    model = fails_once("scripted-anthropic")
    raw = oai.chat.completions.with_raw_response.create(model=model, messages=user("again"))
    record = check(server, raw.headers["x-request-id"], raw.headers["bedplate-cost"])
    assert [a["outcome"] for a in record["attempts"]] == ["failed", "ok"]
    assert Decimal(record["attempts"][0]["cost_usd"]) == 0


def test_a_budget_counts_exactly_what_was_answered(new_access, server):
    access = new_access()
    name = access.budget("1.00")["name"]
    said = Decimal(0)
    with access.openai() as client:
        for text in ("one", "one two", "one two three"):
            raw = client.chat.completions.with_raw_response.create(model="oai/echo", messages=user(text))
            said += Decimal(raw.headers["bedplate-cost"])
    budget = next(b for b in server.get("/budgets")["data"] if b["name"] == name)
    assert Decimal(budget["spent_usd"]) == said > 0
    assert Decimal(budget["held_usd"]) == 0
    costs = server.get("/costs", by="team")["rows"]
    assert Decimal(next(r for r in costs if r["name"] == access.team)["cost_usd"]) == said


def test_the_record_tells_the_journey(oai, server, shared):
    raw = oai.chat.completions.with_raw_response.create(
        model="oai/echo", messages=user("a secret word"), user="person-7"
    )
    record = server.record(raw.headers["x-request-id"])
    assert (record["team"], record["end_user"], record["surface"]) == (shared.team, "person-7", "openai.chat")
    steps = [s["name"] for s in record["steps"]]
    assert steps[:4] == ["identify", "receive", "decode", "admit"] and {"plan", "dispatch", "settle"} <= set(steps)
    # Keys are no part of any record.
    assert shared.key not in json.dumps(record)


def test_the_books_are_sound(server):
    check = server.get("/ledger/check")
    assert (check["ok"], check["unbalanced"], check["drifted"]) == (True, 0, 0)
