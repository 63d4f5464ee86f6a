"""Values that are written vault:path#key come from a Vault: here a small server that speaks its reading protocol."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from hookflash.base.errors import Misconfigured, Unavailable
from hookflash.settings import Settings

_SECRETS = {"/v1/secret/data/hookflash": {"token": "hush", "key": "hush too", "number": 7}}


class _Vault(BaseHTTPRequestHandler):
    """Answers as HashiCorp Vault's key-value engine, version 2, does (developer.hashicorp.com/vault/api-docs/secret/kv)."""

    def do_GET(self) -> None:
        data = _SECRETS.get(self.path.partition("?")[0])
        if self.headers["X-Vault-Token"] != "let-me-in":
            self._answer(403, {"errors": ["permission denied"]})
        elif data is None:
            self._answer(404, {"errors": []})
        else:
            self._answer(200, {"data": {"data": data, "metadata": {"version": 3, "destroyed": False}}})

    def _answer(self, status: int, body: dict[str, object]) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def vault() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Vault)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def blank(tmp_path: Path) -> Path:
    path = tmp_path / "blank.toml"
    path.write_text("")
    return path


def test_values_come_from_vault(vault: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('openai_api_key = "vault:hookflash#key"\n')
    env = {"VAULT_ADDR": vault, "VAULT_TOKEN": "let-me-in", "TWILIO_AUTH_TOKEN": "vault:hookflash#token"}
    settings = Settings.load(env, path)
    assert settings.twilio_auth_token is not None
    assert settings.openai_api_key is not None
    assert settings.twilio_auth_token.get_secret_value() == "hush"
    assert settings.openai_api_key.get_secret_value() == "hush too"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"VAULT_TOKEN": "wrong"}, "TWILIO_AUTH_TOKEN: VAULT_TOKEN may not read the Vault secret hookflash."),
        ({"HOOKFLASH_VAULT_PATH": "kv"}, "TWILIO_AUTH_TOKEN: Vault has no secret hookflash (engine kv)."),
        ({"TWILIO_AUTH_TOKEN": "vault:other#token"}, "TWILIO_AUTH_TOKEN: Vault has no secret other (engine secret)."),
        (
            {"TWILIO_AUTH_TOKEN": "vault:hookflash#nothing"},
            "TWILIO_AUTH_TOKEN: The Vault secret hookflash has no text under the key nothing.",
        ),
        (
            {"TWILIO_AUTH_TOKEN": "vault:hookflash#number"},
            "TWILIO_AUTH_TOKEN: The Vault secret hookflash has no text under the key number.",
        ),
        ({"TWILIO_AUTH_TOKEN": "vault:hookflash"}, "TWILIO_AUTH_TOKEN: A Vault reference is written vault:path#key."),
    ],
)
def test_each_mistake_has_its_sentence(changes: dict[str, str], sentence: str, vault: str, blank: Path) -> None:
    env = {"VAULT_ADDR": vault, "VAULT_TOKEN": "let-me-in", "TWILIO_AUTH_TOKEN": "vault:hookflash#token", **changes}
    with pytest.raises(Misconfigured) as refused:
        Settings.load(env, blank)
    assert refused.value.message == sentence


def test_a_vault_that_does_not_answer(blank: Path) -> None:
    env = {"VAULT_ADDR": "http://127.0.0.1:9", "VAULT_TOKEN": "t", "TWILIO_AUTH_TOKEN": "vault:hookflash#token"}
    with pytest.raises(Unavailable, match=r"Vault at http://127\.0\.0\.1:9 does not answer"):
        Settings.load(env, blank)
