"""Attachments: fetched with credentials that stay at Twilio, checked, kept, put into words or shown to the model."""

import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hookflash.assistant.assistant import AssistantConfig
from hookflash.base.clock import SystemClock
from hookflash.channels import media
from hookflash.conversation.turn import Turn
from hookflash.emulator.inbound import Button
from hookflash.testing.openai_server import OpenAIServer
from hookflash.testing.s3_server import S3Server
from hookflash.testing.vendor import Answer, Refuse, serve
from tests.doors.textline import OURS, TextLine, text_line

WHATSAPP = "+15550100300"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
NOTE = b"OggS" + bytes(range(256))


@asynccontextmanager
async def seeing_line(
    database_url: str, directory: Path, environment: Mapping[str, str] | None = None, **options: Any
) -> AsyncIterator[tuple[TextLine, OpenAIServer]]:
    """A line whose vendor of models and transcriptions is on this machine."""
    vendor = OpenAIServer(SystemClock())
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serve(vendor))
        given = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": f"{url}/v1"} | dict(environment or {})
        yield await stack.enter_async_context(text_line(database_url, directory, environment=given, **options)), vendor


async def media_of(line: TextLine) -> list[dict[str, Any]]:
    rows = await line.rows("select media from messages where direction = 'in' order by seq")
    return [item for row in rows for item in row["media"]]


async def test_a_picture_without_words_is_a_message(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, answer=None) as line:
        phone = line.phone()
        phone.text(OURS, media=[("image/png", PNG)])
        reply = await phone.wait_reply()
        await line.at_rest()
        assert "cannot read this attachment" in reply.body
        assert len(phone.inbox) == 1
        (kept,) = await media_of(line)
        assert (kept["content_type"], kept["size"], kept["failure"]) == ("image/png", len(PNG), None)
        assert await line.core.blobs.get(kept["key"]) == PNG
        assert kept["key"].startswith(f"{line.account_id}/")
        (file,) = [p for p in (fresh_directory / "media").rglob("*") if p.is_file()]
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        # The bytes lie at another host than the API, and the address itself is the permission there.
        assert line.emulator.leaked_credentials == 0


async def test_every_attachment_of_a_message_is_kept_in_its_order(database_url: str, fresh_directory: Path) -> None:
    sent = [("image/png", PNG), ("application/pdf", b"%PDF-1.4 x"), ("text/vcard", b"BEGIN:VCARD")]

    async def count(turn: Turn) -> str:
        return f"{turn.words}: {len(turn.said[0].media)}"

    async with text_line(database_url, fresh_directory, answer=count) as line:
        phone = line.phone()
        phone.text(OURS, "here they are", media=sent)
        assert (await phone.wait_reply()).body == "here they are: 3"
        kept = await media_of(line)
        assert [(k["content_type"], await line.core.blobs.get(k["key"])) for k in kept] == sent
        assert line.emulator.leaked_credentials == 0


@pytest.mark.parametrize(
    ("content_type", "content", "why"),
    [
        ("image/svg+xml", b"<svg/>", "attachments of type image/svg+xml are not accepted"),
        ("application/zip", b"PK", "attachments of type application/zip are not accepted"),
        ("image/png", b"x" * (media.MAX_BYTES + 1), f"larger than {media.MAX_BYTES} bytes"),
    ],
    ids=["active", "unknown", "too large"],
)
async def test_what_is_not_taken_is_recorded_and_the_words_are_answered(
    database_url: str, fresh_directory: Path, content_type: str, content: bytes, why: str
) -> None:
    async with text_line(database_url, fresh_directory) as line:
        phone = line.phone()
        phone.text(OURS, "look", media=[(content_type, content)])
        assert (await phone.wait_reply()).body == "You said: look"
        (kept,) = await media_of(line)
        assert (kept["key"], kept["failure"]) == (None, why)
        assert not (fresh_directory / "media").exists()


async def test_an_attachment_that_is_gone_is_recorded(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        await line.signed(
            "/messages",
            {
                "MessageSid": "MM" + "1" * 32,
                "AccountSid": line.emulator.account_sid,
                "From": "+15550111222",
                "To": OURS,
                "Body": "",
                "NumMedia": "2",
                "MediaUrl0": f"{line.emulator.url}/2010-04-01/Accounts/AC0/Messages/MM1/Media/ME1",
                "MediaContentType0": "image/png",
                "MediaUrl1": "https://attacker.example/steal",
                "MediaContentType1": "image/png",
            },
        )
        async with line.working():
            await line.at_rest()
        first, second = await media_of(line)
        assert first["key"] is second["key"] is None
        assert "404" in first["failure"]
        assert "not Twilio's" in second["failure"]


async def test_a_picture_reaches_a_model_that_can_see(database_url: str, fresh_directory: Path) -> None:
    config = AssistantConfig(name="Test", company="Acme", models=("openai:gpt-4o-mini",))
    async with seeing_line(database_url, fresh_directory, answer=None, assistant_config=config) as (line, vendor):
        await line.teach_text(
            "Boots", "Torn boots are repaired free of charge within two years. Bring them to the shop."
        )
        vendor.script.then(
            Answer('{"answer": "Are torn boots repaired?", "confidence": 0.9, "sources": [], "clarifying": false}'),
            Answer(
                '{"answer": "Torn boots are repaired free of charge.", "confidence": 0.9, "sources": [1], '
                '"clarifying": false}'
            ),
        )
        phone = line.phone()
        phone.text(OURS, media=[("image/png", PNG)])
        assert "repaired free of charge" in (await phone.wait_reply()).body
        for request in vendor.script.requests:
            assert "data:image/png;base64," in str(request.body["messages"])


@pytest.mark.parametrize("content_type", ["audio/ogg", "audio/ogg; codecs=opus", "application/ogg"])
async def test_a_voice_note_is_put_into_words_and_answered(
    database_url: str, fresh_directory: Path, content_type: str
) -> None:
    sender = f"whatsapp:{WHATSAPP}"
    async with seeing_line(database_url, fresh_directory, sender=sender) as (line, vendor):
        vendor.script.then(Answer("Do you have boots?"))
        phone = line.phone()
        phone.text(sender, media=[(content_type, NOTE)])
        assert (await phone.wait_reply()).body == "You said: Do you have boots?"
        (kept,) = await media_of(line)
        assert (kept["transcript"], kept["failure"]) == ("Do you have boots?", None)
        (turn,) = await line.rows("select said from turns")
        assert turn["said"] == "Do you have boots?"


async def test_a_voice_note_that_cannot_be_put_into_words_is_kept_and_answered(
    database_url: str, fresh_directory: Path
) -> None:
    async with seeing_line(database_url, fresh_directory, answer=None) as (line, vendor):
        vendor.script.then(Refuse(400, "Invalid file format."))
        phone = line.phone()
        phone.text(OURS, media=[("audio/amr", NOTE)])
        assert "cannot read this attachment" in (await phone.wait_reply()).body
        (kept,) = await media_of(line)
        assert kept["key"] is not None
        assert "cannot read this recording" in kept["failure"]


async def test_without_a_transcriber_a_voice_note_is_kept_and_answered(
    database_url: str, fresh_directory: Path
) -> None:
    async with text_line(database_url, fresh_directory, answer=None) as line:
        phone = line.phone()
        phone.text(OURS, media=[("audio/amr", NOTE)])
        assert "cannot read this attachment" in (await phone.wait_reply()).body
        (kept,) = await media_of(line)
        assert kept["failure"] == "no transcriber is configured for voice notes"
        assert await line.core.blobs.get(kept["key"]) == NOTE


async def test_attachments_can_lie_in_a_bucket(database_url: str, fresh_directory: Path) -> None:
    store = S3Server("attachments", access_key_id="AKTEST")
    async with serve(store) as url:
        environment = {
            "HOOKFLASH_MEDIA_BUCKET": "attachments",
            "HOOKFLASH_MEDIA_ENDPOINT": url,
            "AWS_ACCESS_KEY_ID": "AKTEST",
            "AWS_SECRET_ACCESS_KEY": "hush",
        }
        async with text_line(database_url, fresh_directory, environment=environment) as line:
            phone = line.phone()
            phone.text(OURS, "two", media=[("image/png", PNG)])
            await phone.wait_reply()
            store.closed = True
            phone.text(OURS, "refused", media=[("image/png", PNG)])
            assert (await phone.wait_reply()).body == "You said: refused"
            kept, refused = await media_of(line)
            assert store.objects == {f"attachments/media/{kept['key']}": ("image/png", PNG)}
            assert (refused["key"], refused["failure"]) == (None, "The bucket refused to keep an attachment.")
            assert not (fresh_directory / "media").exists()


async def test_a_button_a_place_and_a_person_without_a_number(database_url: str, fresh_directory: Path) -> None:
    sender = f"whatsapp:{WHATSAPP}"
    async with text_line(database_url, fresh_directory, sender=sender) as line:
        phone = line.phone()
        phone.text(sender, button=Button("Track my order", "track"))
        assert (await phone.wait_reply()).body == "You said: Track my order"
        phone.text(sender, extra={"Latitude": "52.5", "Longitude": "13.4", "Label": "Shop", "Address": "Main St 1"})
        assert (await phone.wait_reply()).body == "You said: Location: Shop, Main St 1 (52.5, 13.4)"
        nameless = line.phone("US.13491208655302741918")
        nameless.text(sender, "hello")
        assert (await nameless.wait_reply()).body == "You said: hello"
        nameless.text(sender, "again")
        assert (await nameless.wait_reply()).body == "You said: again"
        addresses = await line.rows("select address from contact_addresses order by address")
        assert [a["address"] for a in addresses] == ["whatsapp:+15550111222", "whatsapp:US.13491208655302741918"]
