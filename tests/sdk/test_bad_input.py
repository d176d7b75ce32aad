"""Bodies that no official client sends: refused in the client's own envelope, and the server lives on."""

import json

import pytest

from conftest import user

DOORS = ["/v1/chat/completions", "/v1/messages"]
GOOD = {"model": "bedplate-guide", "max_tokens": 1, "messages": user("hi")}
TEXT = json.dumps(GOOD)

BODIES = {
    "malformed": (b'{"model": bedplate-guide}', "DI0001"),
    "truncated": (TEXT[:-9].encode(), "DI0001"),
    "empty": (b"", "DI0001"),
    "two-values": (TEXT.encode() * 2, "DI0001"),
    "not-an-object": (b'["model"]', "DI000"),
    "duplicate-key": (b'{"model":"oai/echo",' + TEXT[1:].encode(), "DI0002"),
    "nested": (b'{"model":"bedplate-guide","messages":' + b"[" * 5000 + b"]" * 5000 + b"}", "DI0003"),
    "not-utf-8": (TEXT.encode().replace(b'"hi"', b'"\xff\xfe"'), "DI0001"),
    "no-model": (b'{"max_tokens":1,"messages":[]}', "DI0005"),
    "infinite-limit": (TEXT.replace('"max_tokens": 1', '"max_tokens": 1e999').encode(), "DI0004"),
    "negative-limit": (TEXT.replace('"max_tokens": 1', '"max_tokens": -5').encode(), "DI0004"),
}


def refused(response, status: int, code: str):
    """Checks the envelope of either dialect, and gives the message."""
    body = response.json()
    assert response.status_code == status, body
    assert response.headers["bedplate-error"].startswith(code)
    assert response.headers["x-request-id"]
    if "/messages" in response.request.url.path:
        assert body["type"] == "error" and body["request_id"] == response.headers["request-id"]
    else:
        assert {"message", "type", "param", "code"} <= set(body["error"])
    return body["error"]["message"]


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("door", DOORS)
def test_a_body_that_cannot_be_is_refused_in_the_clients_envelope(shared, door, name):
    body, code = BODIES[name]
    with shared.http() as http:
        kind = {"content-type": "application/json"}
        assert refused(http.post(door, content=body, headers=kind), 400, code)
        # The same connection serves the next request.
        assert http.post(door, json=GOOD).status_code == 200


@pytest.mark.parametrize("door", DOORS)
def test_trap_s6_two_megabytes_pass_and_33_do_not(shared, door):
    asked = {"model": "oai/echo", "max_tokens": 8}
    with shared.http() as http:
        two = asked | {"messages": user("x" * (2 << 20))}
        assert http.post(door, json=two).status_code == 200
        response = http.post(door, json=asked | {"messages": user("x" * (33 << 20))})
        assert str(32 << 20) in refused(response, 413, "GW0004")


@pytest.mark.parametrize("door", DOORS)
def test_a_wrong_method_or_type_is_named(shared, door):
    with shared.http() as http:
        response = http.get(door)
        assert (response.status_code, response.headers["allow"]) == (405, "POST")
        typed = http.post(door, content=TEXT, headers={"content-type": "text/xml"})
        assert "text/xml" in refused(typed, 415, "GW0003")


def test_trap_x4_a_key_in_the_url_is_no_key(shared):
    with shared.http() as http:
        del http.headers["authorization"]
        response = http.post(f"/v1/chat/completions?key={shared.key}", json=GOOD)
    assert response.status_code == 401 and shared.key not in response.text


def test_an_expired_key_is_refused(new_access):
    access = new_access(expires_in_seconds=0)
    with access.http() as http:
        refused(http.post("/v1/chat/completions", json=GOOD), 401, "ID0003")


def test_both_versions_of_a_rotated_key_work_until_the_overlap_ends(new_access, server):
    access = new_access()
    new = server.post(f"/keys/{access.id}/rotate", {"overlap_seconds": 600})["secret"]
    with access.http() as http:
        for key in (access.key, new):
            response = http.get("/v1/models", headers={"authorization": f"Bearer {key}"})
            assert response.status_code == 200
        newest = server.post(f"/keys/{access.id}/rotate", {"overlap_seconds": 0})["secret"]
        statuses = [
            http.get("/v1/models", headers={"x-api-key": key, "authorization": ""}).status_code
            for key in (access.key, new, newest)
        ]
    assert statuses == [401, 401, 200]


def test_trap_x3_an_inference_key_reaches_nothing_of_the_control_plane(shared):
    with shared.http() as http:
        for path in ("/api/v1/keys", "/api/v1/records", "/api/v1/status", "/api/v1/budgets"):
            assert http.get(path).status_code == 403, path
        wanted = {"team": shared.team, "name": "more", "role": "admin"}
        assert http.post("/api/v1/keys", json=wanted).status_code == 403
