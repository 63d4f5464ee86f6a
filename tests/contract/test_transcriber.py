"""Voice notes into words: what is asked of an OpenAI-compatible server, and what becomes of its answers."""

from collections.abc import AsyncIterator

import pytest

from hookflash.base.clock import SystemClock
from hookflash.base.errors import HookflashError, Invalid, Misconfigured, Unavailable
from hookflash.base.secret import Secret
from hookflash.providers.openai_speech import OpenAITranscriber
from hookflash.testing.openai_server import OpenAIServer, form_data
from hookflash.testing.vendor import Answer, Drop, Hang, Refuse, Step, serve

NOTE = b"OggS" + bytes(range(256))


@pytest.fixture
async def server() -> AsyncIterator[tuple[OpenAIServer, str]]:
    made = OpenAIServer(SystemClock())
    async with serve(made) as url:
        yield made, f"{url}/v1"


async def test_a_voice_note_is_put_into_words(server: tuple[OpenAIServer, str]) -> None:
    made, url = server
    made.script.then(Answer(" Do you have boots? \n"))
    said = await OpenAITranscriber(Secret("sk-test"), url).transcribe(NOTE, "audio/ogg; codecs=opus", "en-GB")
    assert said == "Do you have boots?"
    (request,) = made.script.requests
    fields = form_data(request)
    assert request.path == "/v1/audio/transcriptions"
    assert fields == {"model": b"whisper-1", "response_format": b"json", "language": b"en", "file": NOTE}
    assert b'filename="note.ogg"' in request.raw


@pytest.mark.parametrize(
    ("content_type", "name"),
    [("audio/mpeg", b"note.mp3"), ("audio/amr", b"note.amr"), ("audio/mp4", b"note.m4a"), ("audio/new", b"note.bin")],
)
async def test_the_file_is_named_by_its_type(server: tuple[OpenAIServer, str], content_type: str, name: bytes) -> None:
    made, url = server
    made.script.then(Answer("x"))
    await OpenAITranscriber(Secret("sk-test"), url).transcribe(NOTE, content_type, None)
    assert b'filename="' + name + b'"' in made.script.requests[0].raw
    assert "language" not in form_data(made.script.requests[0])


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (Refuse(400, "Invalid file format."), Invalid),
        (Refuse(429, "Slow down."), Unavailable),
        (Refuse(500), Unavailable),
        (Drop(), Unavailable),
        (Hang(), Unavailable),
    ],
)
async def test_failures(server: tuple[OpenAIServer, str], step: Step, error: type[HookflashError]) -> None:
    made, url = server
    made.script.then(step)
    with pytest.raises(error) as raised:
        await OpenAITranscriber(Secret("sk-test"), url, timeout=0.3).transcribe(NOTE, "audio/ogg", None)
    assert "sk-test" not in str(raised.value)


async def test_a_wrong_key_is_named_but_not_told(server: tuple[OpenAIServer, str]) -> None:
    _, url = server
    with pytest.raises(Misconfigured, match="OPENAI_API_KEY") as raised:
        await OpenAITranscriber(Secret("sk-wrong"), url).transcribe(NOTE, "audio/ogg", None)
    assert "sk-wrong" not in str(raised.value)


async def test_a_server_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await OpenAITranscriber(Secret("sk-test"), "http://127.0.0.1:1/v1").transcribe(NOTE, "audio/ogg", None)
