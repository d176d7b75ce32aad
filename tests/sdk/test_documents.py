"""Passages of a collection in any request: the official clients read the answer as ever, and its citations."""

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
