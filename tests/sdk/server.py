"""The processes under test: the scripted provider and `bedplate serve`.

Both are the real binaries. Each pytest process has its own pair on free ports
and a new data directory, so the suite may run in parallel with itself.
"""

import json
import os
import pathlib
import re
import subprocess
import threading
import time

import httpx

HERE = pathlib.Path(__file__).parent
BUILT = HERE.parent.parent / "target" / "debug"
# The provider's key, as the server's environment holds it. It may appear nowhere else (TRAPS X4).
CANARY = "sk-canary-4f1d7b90c2ae63588d11"
STARTUP_S = 60


def binary(name: str, *variables: str) -> str:
    for variable in variables:
        if os.environ.get(variable):
            return os.environ[variable]
    return str(BUILT / name)


class Process:
    """A child whose output is collected by line; ended by `stop`."""

    def __init__(self, command, env=None):
        self.lines = []
        self._changed = threading.Condition()
        self._ended = False
        self.child = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.child.stdout:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def output(self) -> str:
        with self._changed:
            return "".join(self.lines)

    def wait_for(self, pattern: str) -> str:
        """The first group of the first match in the output so far."""

        def found():
            return re.search(pattern, "".join(self.lines))

        with self._changed:
            self._changed.wait_for(lambda: found() or self._ended, STARTUP_S)
            match = found()
        if not match:
            raise RuntimeError(f"{self.child.args[0]} did not print {pattern!r}:\n{self.output()}")
        return match.group(1)

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class Provider(Process):
    def __init__(self):
        super().__init__([binary("testkit-provider", "TESTKIT_PROVIDER_BIN", "TESTKIT_PROVIDER")])
        self.url = json.loads(self.wait_for(r"(\{.*\})"))["url"]


class Server(Process):
    """`bedplate serve`, with the admin's side of its control API."""

    def __init__(self, data: pathlib.Path):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "ANTHROPIC_", "BEDPLATE_"))}
        env |= {"SCRIPTED_KEY": CANARY, "BEDPLATE_HOME": str(data)}
        command = [binary("bedplate", "BEDPLATE_BIN"), "serve", "--data", str(data), "--listen", "127.0.0.1:0"]
        super().__init__(command, env)
        self.url = self.wait_for(r"listening on (http://\S+)")
        admin = self.wait_for(r"(bp-\S+)")
        self.api = httpx.Client(
            base_url=f"{self.url}/api/v1", headers={"authorization": f"Bearer {admin}"}, timeout=30, trust_env=False
        )
        until("the server is ready", lambda: self._ready())

    def _ready(self):
        if self.child.poll() is not None:
            raise RuntimeError(f"the server ended with {self.child.returncode}:\n{self.output()}")
        if httpx.get(f"{self.url}/readyz", trust_env=False, timeout=30).status_code != 200:
            return False
        models = self.get("/models")["data"]
        return all(t["ready"] for m in models if m["name"] == "bedplate-guide" for t in m["targets"])

    def _answer(self, response: httpx.Response):
        assert response.is_success, f"{response.request.method} {response.request.url}: {response.text}"
        return response.json()

    def get(self, path, **query):
        return self._answer(self.api.get(path, params=query))

    def post(self, path, body):
        return self._answer(self.api.post(path, json=body))

    def apply(self, text: str):
        return self._answer(self.api.post("/apply", content=text, headers={"content-type": "application/yaml"}))

    def record(self, request_id: str):
        """The record of a request; waits for it, since a refusal's is written behind the answer."""

        def read():
            response = self.api.get(f"/records/{request_id}")
            return None if response.status_code == 404 else self._answer(response)

        return until(f"a record of {request_id}", read)


def until(what: str, read, within_s: float = 20):
    """Polls for a state that nothing announces; no test relies on how long that takes."""
    deadline = time.monotonic() + within_s
    while True:
        value = read()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain: {what}")
        time.sleep(0.02)
