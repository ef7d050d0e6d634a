"""The files of a new plugin. NAME stands for its name, TITLE for the name as a title."""

PYPROJECT = """\
[build-system]
requires = ["setuptools>=64"]
build-backend = "setuptools.build_meta"

[project]
name = "vitrin-NAME"
version = "0.1.0"
description = "TITLE for Vitrin"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["pluggy>=1.6,<2"]

[project.entry-points.vitrin]
NAME = "vitrin_NAME"

[tool.setuptools]
packages = ["vitrin_NAME"]

[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = ["."]
"""

MODULE = '''\
"""TITLE: what the engine asks of a plugin. It needs pluggy and nothing of Vitrin's own."""

import pluggy

hookimpl = pluggy.HookimplMarker("vitrin")

#: The other side. An address for tests is put into the setting base_url.
HOST = "api.NAME.example"


@hookimpl
def vitrin_manifest():
    return {
        "title": {"en": "TITLE", "tr": "TITLE", "ru": "TITLE"},
        "summary": {
            "en": "Sends greetings through TITLE.",
            "tr": "TITLE üzerinden selam gönderir.",
            "ru": "Отправляет приветствия через TITLE.",
        },
        "category": "messages",
        "version": "0.1.0",
        "permissions": {"hosts": [HOST], "effects": ["message"]},
        "settings": {
            "type": "object",
            "additionalProperties": False,
            "required": ["api_key"],
            "properties": {
                "api_key": {"type": "string", "title": "API key", "writeOnly": True, "minLength": 1},
                "base_url": {"type": "string", "title": "Address", "format": "uri", "default": f"https://{HOST}"},
            },
        },
    }


@hookimpl
def vitrin_events():
    return [
        {
            "name": "NAME.answered",
            "title": {"en": "A greeting was answered", "tr": "Selam yanıtlandı", "ru": "На приветствие ответили"},
            "schema": {
                "type": "object",
                "required": ["greeting"],
                "properties": {
                    "greeting": {
                        "type": "object",
                        "title": "Greeting",
                        "required": ["id", "text"],
                        "properties": {
                            "id": {"type": "string", "title": "Number"},
                            "text": {"type": "string", "title": "Text"},
                        },
                    },
                },
            },
            "sample": {"greeting": {"id": "g-1", "text": "Hello yourself"}},
            "key": "greeting.id",
        }
    ]


@hookimpl
def vitrin_actions():
    return [
        {
            "name": "NAME.send_greeting",
            "title": {"en": "Send a greeting", "tr": "Selam gönder", "ru": "Отправить приветствие"},
            "effect": "message",
            "scope": "outside",
            "takes_key": True,
            "params": {
                "type": "object",
                "additionalProperties": False,
                "required": ["to", "text"],
                "properties": {
                    "to": {"type": "string", "title": "Receiver", "minLength": 1, "maxLength": 200},
                    "text": {"type": "string", "title": "Text", "minLength": 1, "maxLength": 500},
                },
            },
            "run": send_greeting,
            "preview": preview_greeting,
        }
    ]


@hookimpl
def vitrin_check(ctx):
    """Test the connection: what is answered here is shown beside the settings."""
    answer = ctx.http.get(f"{ctx.settings['base_url']}/account", headers=sign(ctx)).raise_for_status()
    return {"account": answer.json()["name"]}


def send_greeting(ctx, params):
    """Send one greeting; what goes wrong is raised by raise_for_status in the engine's own words."""
    answer = ctx.http.post(
        f"{ctx.settings['base_url']}/greetings",
        json={"to": params["to"], "text": params["text"]},
        headers=sign(ctx),
        idempotency_key=ctx.idempotency_key,
    ).raise_for_status()
    number = answer.json()["id"]
    return {"object": f"greeting:{number}", "greeting": number}


def preview_greeting(ctx, params):
    words = {"en": "greets {}: {}", "tr": "{} selamlanır: {}", "ru": "приветствует {}: {}"}
    return {"text": {language: text.format(params["to"], params["text"]) for language, text in words.items()}}


def sign(ctx):
    return {"Authorization": f"Bearer {ctx.settings['api_key']}"}
'''

FAKE = '''\
"""A stand-in for the other side: enforces its rules (key, repeats, limits), and is never used in production."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "a-key-for-tests"


class Fake:
    """Listens on this machine, on a free port; `sent` holds what arrived."""

    def __init__(self):
        self.sent = []
        self.by_key = {}
        self.refuse_with = None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, method, path, headers, body):
        """Return status and document for one request."""
        if self.refuse_with:
            return self.refuse_with, {"error": "not now"}
        if headers.get("Authorization") != f"Bearer {KEY}":
            return 401, {"error": "the key is wrong"}
        if (method, path) == ("GET", "/account"):
            return 200, {"name": "Test shop"}
        if (method, path) != ("POST", "/greetings"):
            return 404, {"error": "no such address"}
        key = headers.get("Idempotency-Key")
        if key in self.by_key:
            return 200, self.by_key[key]
        self.sent.append(json.loads(body))
        told = {"id": f"g-{len(self.sent)}"}
        if key:
            self.by_key[key] = told
        return 201, told

    def _handler(fake):
        class Handler(BaseHTTPRequestHandler):
            def _reply(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, document = fake.answer(self.command, self.path, self.headers, body)
                raw = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = _reply

            def log_message(self, *_):
                """Keep quiet."""

        return Handler
'''

TEST = '''\
"""The plugin against its fake, with a ctx as small as it can be. Run: python -m pytest"""

import json
import urllib.error
import urllib.request

import pytest
import vitrin_NAME as plugin
from vitrin_NAME.fake import KEY, Fake


class Refused(Exception):
    """What the engine would raise for an answer that is no success."""


class Answer:
    def __init__(self, status, content):
        self.status, self.content = status, content

    def json(self):
        return json.loads(self.content)

    def raise_for_status(self):
        if self.status >= 300:
            raise Refused(self.status)
        return self


class Http:
    """The part of ctx.http that the plugin uses."""

    def get(self, url, headers=None):
        return self._send("GET", url, headers or {}, None)

    def post(self, url, json=None, headers=None, idempotency_key=None):
        extra = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._send("POST", url, {**(headers or {}), **extra}, json)

    def _send(self, method, url, headers, document):
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(url, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return Answer(answer.status, answer.read())
        except urllib.error.HTTPError as exc:
            with exc:
                return Answer(exc.code, exc.read())


class Ctx:
    def __init__(self, url, key=KEY):
        self.settings = {"base_url": url, "api_key": key}
        self.http = Http()
        self.idempotency_key = "one"


@pytest.fixture
def fake():
    with Fake() as server:
        yield server


PARAMS = {"to": "Elif", "text": "Hello"}


def test_greeting_is_sent(fake):
    assert plugin.send_greeting(Ctx(fake.url), PARAMS) == {"object": "greeting:g-1", "greeting": "g-1"}
    assert fake.sent == [{"to": "Elif", "text": "Hello"}]


def test_repeat_sends_nothing_twice(fake):
    first, second = (plugin.send_greeting(Ctx(fake.url), PARAMS) for _ in range(2))
    assert first == second
    assert len(fake.sent) == 1


@pytest.mark.parametrize("status", [401, 429, 500])
def test_refusal_is_raised(fake, status):
    fake.refuse_with = status
    with pytest.raises(Refused):
        plugin.send_greeting(Ctx(fake.url), PARAMS)
    assert fake.sent == []


def test_wrong_key_is_refused(fake):
    with pytest.raises(Refused):
        plugin.vitrin_check(Ctx(fake.url, key="wrong"))


def test_connection_tells_the_account(fake):
    assert plugin.vitrin_check(Ctx(fake.url)) == {"account": "Test shop"}


def test_preview_names_receiver_in_three_languages(fake):
    text = plugin.preview_greeting(Ctx(fake.url), PARAMS)["text"]
    assert set(text) == {"en", "tr", "ru"}
    assert all("Elif" in words for words in text.values())
'''

README = """\
# TITLE for Vitrin

Sends greetings through the service TITLE, and tells the automations when one is answered. Made with
`./vitrin plugins new NAME`: change it into what you need.

## Try it

```sh
python -m pip install pytest pluggy
python -m pytest                                  # the plugin against its fake
```

In the folder of Vitrin:

```sh
.venv/bin/python -m pip install -e PATH/vitrin-NAME
./vitrin plugins enable NAME
./vitrin plugins config NAME --secret api_key=env:API_KEY
./vitrin plugins test NAME
./vitrin plugins doctor NAME                      # the contract, and the tier it reaches
./vitrin events send --type NAME.answered --data '{"greeting": {"id": "g-1", "text": "Hello yourself"}}'
```

## What it brings

| kind | name | what for |
| --- | --- | --- |
| event | `NAME.answered` | somebody answered a greeting |
| action | `NAME.send_greeting` | sends one; the other side takes the idempotency key, so a repeat sends nothing twice |

Settings: `api_key` (kept encrypted), `base_url`. It connects to `api.NAME.example` only; for another address change
`permissions.hosts` in the manifest. Files: `vitrin_NAME/__init__.py` (the hooks), `vitrin_NAME/fake.py` (a stand-in
for the other side), `tests/test_NAME.py`.
"""

#: Path -> text.
FILES = {
    "pyproject.toml": PYPROJECT,
    "README.md": README,
    "vitrin_NAME/__init__.py": MODULE,
    "vitrin_NAME/fake.py": FAKE,
    "tests/test_NAME.py": TEST,
}
