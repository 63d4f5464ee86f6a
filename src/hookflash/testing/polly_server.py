"""Amazon Polly on this machine: `SynthesizeSpeech` with its signature checked, by script."""

import hashlib
import hmac

import msgspec

from hookflash.base.clock import Clock
from hookflash.testing.openai_speech_server import stream_sound
from hookflash.testing.speech import sound_of
from hookflash.testing.vendor import Receive, Scope, Send, lifespan, send_json
from hookflash.testing.vendor_socket import Connection, SpeechScript, came

_RATES = {"mulaw": ("8000",), "pcm": ("8000", "16000")}
_ENGINES = ("standard", "neural", "long-form", "generative")


class PollyServer:
    """An ASGI application; `script` says what comes. Only requests signed with this key are answered."""

    def __init__(self, clock: Clock, *, key_id: str = "AKIATEST", signing: str = "polly-test") -> None:
        self.script = SpeechScript(clock)
        self.key_id = key_id
        self.signing = signing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await lifespan(scope, receive, send):
            return
        connection = came(scope)
        self.script.connections.append(connection)
        body = b""
        more = True
        while more:
            event = await receive()
            body += event.get("body", b"")
            more = event.get("more_body", False)
        plan = self.script.next_text()
        asked = msgspec.json.decode(body)
        connection.messages.append(asked)
        if not self._signed(connection, body):
            await _refuse(send, 403, "InvalidSignatureException")
        elif plan.refuse is not None:
            await _refuse(send, plan.refuse, "ServiceFailureException")
        elif wrong := _wrong(connection, asked):
            await _refuse(send, 400, wrong)
        else:
            encoding = {"pcm": "s16le"}.get(asked["OutputFormat"], asked["OutputFormat"])
            rate = int(asked["SampleRate"])
            second = rate * (1 if encoding == "mulaw" else 2)
            sound = sound_of(asked["Text"], encoding, rate)
            await stream_sound(self.script, asked["Text"], sound, second, receive, send, plan)

    def _signed(self, connection: Connection, body: bytes) -> bool:
        """Whether the request carries the signature (AWS version 4) that this key makes."""
        kind, _, rest = connection.headers.get("authorization", "").partition(" ")
        parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
        place = parts.get("Credential", "").split("/")
        if kind != "AWS4-HMAC-SHA256" or len(place) != 5 or place[0] != self.key_id or place[3] != "polly":
            return False
        names = parts["SignedHeaders"].split(";")
        headers = "".join(f"{name}:{connection.headers[name]}\n" for name in names)
        digest = hashlib.sha256(body).hexdigest()
        request = "\n".join(("POST", connection.path, "", headers, ";".join(names), digest))
        scope = "/".join(place[1:])
        when = connection.headers["x-amz-date"]
        text = "\n".join((kind, when, scope, hashlib.sha256(request.encode()).hexdigest()))
        key = f"AWS4{self.signing}".encode()
        for step in place[1:]:
            key = hmac.digest(key, step.encode(), "sha256")
        return hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), parts["Signature"])


def _wrong(connection: Connection, asked: dict[str, str]) -> str | None:
    if connection.path != "/v1/speech" or not asked.get("VoiceId") or not asked.get("Text"):
        return "ValidationException"
    if asked.get("Engine") not in _ENGINES:
        return "EngineNotSupportedException"
    if asked.get("SampleRate") not in _RATES.get(asked.get("OutputFormat", ""), ()):
        return "InvalidSampleRateException"
    if asked.get("TextType") == "ssml" and not asked["Text"].startswith("<speak"):
        return "InvalidSsmlException"
    return None


async def _refuse(send: Send, status: int, kind: str) -> None:
    await send_json(send, status, {"message": "No."}, {"x-amzn-errortype": kind})
