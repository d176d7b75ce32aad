"""Passages of a collection in any request: the official clients read the answer as ever, and its citations."""

import openai
import pytest

from conftest import user

EXTRA = {"bedplate": {"retrieve": {"collection": "handbook", "k": 2}}}
QUESTION = user("how many days of annual leave are there?")


@pytest.fixture
def reader(new_access):
    access = new_access(role="developer")
    with access.http() as http:
        assert http.post("/api/v1/collections", json={"name": "handbook", "language": "en"}).status_code == 201
        path = "/api/v1/collections/handbook/documents?source=leave.md"
        text = "# Leave\n\nEverybody has 30 days of annual leave a year.\n"
        put = http.post(path, content=text, headers={"content-type": "text/markdown"})
        assert put.status_code == 200 and put.json()["change"] == "added", put.text
    return access


def cited(extra: dict | None) -> list[str]:
    return [citation["source"] for citation in extra["bedplate"]["citations"]]


@pytest.mark.parametrize("model", ["oai/echo", "ant/echo"])
def test_openai_reads_an_answer_with_its_citations(reader, model):
    with reader.openai() as client:
        answer = client.chat.completions.create(model=model, messages=QUESTION, extra_body=EXTRA)
        assert answer.choices[0].message.content
        assert cited(answer.model_extra) == ["leave.md"]
        stream = client.chat.completions.create(model=model, messages=QUESTION, extra_body=EXTRA, stream=True)
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
        assert "".join(pieces)


@pytest.mark.parametrize("model", ["oai/echo", "ant/echo"])
def test_anthropic_reads_an_answer_with_its_citations(reader, model):
    with reader.anthropic() as client:
        asked = {"model": model, "max_tokens": 50, "messages": QUESTION, "extra_body": EXTRA}
        answer = client.messages.create(**asked)
        assert answer.content[0].text
        assert cited(answer.model_extra) == ["leave.md"]
        with client.messages.stream(**asked) as stream:
            assert "".join(stream.text_stream)


def file_search(**more) -> dict:
    return {"type": "file_search", "vector_store_ids": ["handbook"], "max_num_results": 2} | more


@pytest.mark.parametrize("model", ["oai/echo", "ant/echo"])
def test_file_search_is_answered_by_collections(reader, model):
    with reader.openai() as client:
        asked = {"model": model, "messages": QUESTION, "tools": [file_search()], "tool_choice": "required"}
        answer = client.chat.completions.create(**asked)
        assert "30 days" in answer.choices[0].message.content, "the provider says what it was asked"
        assert cited(answer.model_extra) == ["leave.md"]
        stream = client.chat.completions.create(**asked, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        # Beside tools of the client's own, and within a threshold.
        tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
        both = client.chat.completions.create(model=model, messages=QUESTION, tools=[file_search(), tool])
        assert cited(both.model_extra) == ["leave.md"]
        strict = file_search(ranking_options={"ranker": "auto", "score_threshold": 1.0})
        nothing = client.chat.completions.create(model=model, messages=QUESTION, tools=[strict])
        assert cited(nothing.model_extra) == []


@pytest.mark.parametrize(
    ("tool", "error", "code"),
    [
        (file_search(vector_store_ids=["vs_of_nobody"]), openai.NotFoundError, "CT0003"),
        (file_search(filters={"type": "eq", "key": "region", "value": "eu"}), openai.BadRequestError, "GW0011"),
        (file_search(ranking_options={"ranker": "default-2024-11-15"}), openai.BadRequestError, "GW0011"),
        (file_search(max_num_results=51), openai.BadRequestError, "DI0004"),
    ],
)
def test_what_file_search_cannot_have_is_refused(reader, tool, error, code):
    with reader.openai() as client, pytest.raises(error) as refused:
        client.chat.completions.create(model="oai/echo", messages=QUESTION, tools=[tool])
    assert refused.value.response.headers["bedplate-error"] == code


def test_a_stream_says_its_citations_in_a_comment(reader):
    body = {"model": "oai/echo", "messages": QUESTION, "stream": True} | EXTRA
    with reader.http() as http:
        text = http.post("/v1/chat/completions", json=body).text
    comments = [line for line in text.splitlines() if line.startswith(": bedplate {")]
    assert len(comments) == 1 and '"source":"leave.md"' in comments[0], text


def test_what_is_misspelt_is_refused(reader):
    body = {"model": "oai/echo", "messages": QUESTION, "bedplate": {"retreive": {}}}
    with reader.http() as http:
        refused = http.post("/v1/chat/completions", json=body)
    assert (refused.status_code, refused.headers["bedplate-error"]) == (400, "DI0004")
