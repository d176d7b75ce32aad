"""Starts the server once per pytest process; every test gets keys of its own."""

from __future__ import annotations

import itertools
import os
import uuid
from decimal import Decimal

import anthropic
import httpx
import openai
import pytest

from server import HERE, Provider, Server

# A proxy for the outside must not stand between the tests and 127.0.0.1.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"

# Dollars per million tokens, declared for every scripted model.
INPUT_PRICE, OUTPUT_PRICE = Decimal("3.00"), Decimal("15.00")

# The behaviours of the scripted provider that the tests ask for.
UPSTREAM = ["echo", "reasoning", "chunks:64", "no-usage", "groq-usage", "usage-twice", "error-event",
            "cut-stream:2", "cut-stream:3", "hang-mid-stream:2", "429-seconds:7", "500", "401", "400"]  # fmt: skip


def manifest(name: str, provider: str, upstream: str) -> str:
    price = f'{{ input: "{INPUT_PRICE}", output: "{OUTPUT_PRICE}" }}'
    target = f'{{ provider: {provider}, model: "{upstream}", price: {price} }}'
    return f'---\napiVersion: bedplate/v1\nkind: Model\nmetadata: {{ name: "{name}" }}\nspec: {{ targets: [{target}] }}\n'


@pytest.fixture(scope="session")
def provider():
    process = Provider()
    yield process
    process.stop()


@pytest.fixture(scope="session")
def server(provider, tmp_path_factory):
    process = Server(tmp_path_factory.mktemp("bedplate"))
    try:
        text = (HERE / "manifests.yaml").read_text().replace("PROVIDER", provider.url)
        for upstream in UPSTREAM:
            # `oai/echo` is spoken to in OpenAI's dialect, `ant/echo` in Anthropic's.
            text += manifest(f"oai/{upstream}", "scripted-openai", upstream)
            text += manifest(f"ant/{upstream}", "scripted-anthropic", upstream)
        process.apply(text)
        yield process
    finally:
        process.stop()


@pytest.fixture
def fails_once(server):
    """A model whose provider answers 503 once: the provider counts by name, so each test gets its own."""

    def declare(provider: str) -> str:
        name = f"once/{uuid.uuid4().hex[:12]}"
        server.apply(manifest(name, provider, f"503-then-ok:{'0' * next(ZEROS)}1"))
        return name

    return declare


ZEROS = itertools.count()


class Access:
    """A team of its own, its key, and clients that use it."""

    def __init__(self, server: Server, **rights):
        self.server = server
        self.team = f"t-{uuid.uuid4().hex[:12]}"
        server.post("/teams", {"name": self.team})
        created = server.post("/keys", {"team": self.team, "name": "app", **rights})
        self.id, self.key = created["key"]["id"], created["secret"]

    def budget(self, dollars: str):
        scope = {"team": self.team}
        return self.server.post(
            "/budgets", {"name": f"b-{self.team}", "scope": scope, "limit_usd": dollars, "period": "total"}
        )

    def openai(self, **options) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.server.url}/v1", api_key=self.key, **{"max_retries": 0} | options)

    def async_openai(self, **options) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.server.url}/v1", api_key=self.key, **{"max_retries": 0} | options)

    def anthropic(self, **options) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=self.server.url, api_key=self.key, **{"max_retries": 0} | options)

    def async_anthropic(self, **options) -> anthropic.AsyncAnthropic:
        return anthropic.AsyncAnthropic(base_url=self.server.url, api_key=self.key, **{"max_retries": 0} | options)

    def http(self) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.server.url, headers=headers, timeout=60, trust_env=False)


@pytest.fixture(scope="session")
def shared(server) -> Access:
    return Access(server)


@pytest.fixture
def new_access(server):
    """Makes a team and key with rights and limits of the test's own."""
    return lambda **rights: Access(server, **rights)


@pytest.fixture
def oai(shared):
    with shared.openai() as client:
        yield client


@pytest.fixture
def ant(shared):
    with shared.anthropic() as client:
        yield client


@pytest.fixture
async def async_oai(shared):
    async with shared.async_openai() as client:
        yield client


@pytest.fixture
async def async_ant(shared):
    async with shared.async_anthropic() as client:
        yield client


def user(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


def price(prompt: int, answer: int) -> Decimal:
    return (prompt * INPUT_PRICE + answer * OUTPUT_PRICE) / 1_000_000
