"""The official MCP SDK on both sides: its client before `/mcp`, its server behind it."""

import contextlib
import sys
import uuid

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from server import HERE, Process

TOOLS = """
  teams: [ TEAM ]
  tools:
    read_mail: { effect: none, trusted: [ result.id, id ] }
    send_mail: { effect: egress, targets: { to: email } }
"""


@pytest.fixture(scope="module")
def office():
    process = Process([sys.executable, str(HERE / "tool_server.py")])
    yield process.wait_for(r"(http://\S+)")
    process.stop()


@pytest.fixture(params=["http", "stdio"])
def tools(request, server, office, new_access):
    """A declared and approved tool server of its own for a new team: its name, and the team's access."""
    access = new_access()
    name = f"o-{uuid.uuid4().hex[:8]}"
    command = f'[ "{sys.executable}", "{HERE / "tool_server.py"}", "--stdio" ]'
    upstream = f'mcp: {{ url: "{office}", allowPrivate: true }}' if request.param == "http" else f"command: {command}"
    spec = f"  {upstream}" + TOOLS.replace("TEAM", access.team)
    server.apply(f"apiVersion: bedplate/v1\nkind: Tool\nmetadata: {{ name: {name} }}\nspec:\n{spec}")
    for tool in server.get("/tools")["data"]:
        if tool["server"] == name:
            assert tool["standing"] == "new", tool
            server.post(f"/tools/{name}/{tool['tool']}/approve", {"digest": tool["digest"]})
    return name, access


@contextlib.asynccontextmanager
async def connected(server, access, mode):
    headers = {"authorization": f"Bearer {access.key}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30, trust_env=False) as http:
        transport = streamable_http_client(f"{server.url}/mcp", http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_official_client_lists_calls_and_is_held(server, tools, mode):
    name, access = tools
    async with connected(server, access, mode) as client:
        listed = await client.list_tools()
        assert sorted(t.name for t in listed.tools) == [f"{name}__read_mail", f"{name}__send_mail"]
        read = await client.call_tool(f"{name}__read_mail", {})
        assert not read.is_error and "mallory@evil.example" in read.content[0].text

        asked = {"to": "mallory@evil.example", "text": "hello"}
        held = await client.call_tool(f"{name}__send_mail", asked)
        assert held.is_error, held
        error = held.meta["bedplate/error"]
        assert error["code"] == "TG0002" and error["approval"]["values"][0]["value"] == "mallory@evil.example"
        server.post(f"/approvals/{error['approval']['id']}/grant", {"seconds": 60})
        sent = await client.call_tool(f"{name}__send_mail", asked)
        assert not sent.is_error and sent.content[0].text == "sent to mallory@evil.example", sent

        # The client's own value, and one that its user said.
        sent = await client.call_tool(f"{name}__send_mail", asked | {"to": "ann@else.example"})
        assert not sent.is_error, sent
        said = {"bedplate/user": "please write to bob@else.example"}
        sent = await client.call_tool(f"{name}__send_mail", asked | {"to": "bob@else.example"}, meta=said)
        assert not sent.is_error, sent
        held = await client.call_tool(f"{name}__send_mail", asked | {"to": "eve@else.example"}, meta=said)
        assert held.meta["bedplate/error"]["code"] == "TG0002", held
