"""What `hookflash doctor` finds of a chain that holds, and of one that is broken at each link, over real sockets."""

from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2

from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.voice import VoiceConfig
from hookflash.base.clock import SystemClock
from hookflash.base.secret import Sealer, Secret
from hookflash.channels.check import NONCE_HEADER, Answer, Finding, State, check_public
from hookflash.channels.text import account_of
from hookflash.cli.doctor import findings, twilio_links
from hookflash.settings import Settings
from hookflash.testing.openai_server import OpenAIServer
from hookflash.testing.rerank_server import RerankServer
from hookflash.testing.vendor import Answer as Reply
from hookflash.testing.vendor import serve
from tests.doors.textline import OURS, TextLine, text_line


async def examined(settings: Settings, *, fix: bool = False) -> dict[str, Finding]:
    async with aclosing(findings(settings, fix)) as stream:
        return {finding.link: finding async for finding in stream}


async def at_twilio(line: TextLine, *, fix: bool = False, **changes: Any) -> dict[str, Finding]:
    """The links from the public address on."""
    core = replace(line.core, settings=changed(line, **changes))
    async with aclosing(twilio_links(core, [line.integration], fix)) as stream:
        return {finding.link: finding async for finding in stream}


def changed(line: TextLine, **changes: Any) -> Settings:
    return line.core.settings.model_copy(update=changes)


def broken(found: dict[str, Finding]) -> set[str]:
    return {link for link, finding in found.items() if finding.state is State.FAIL}


async def service_of(line: TextLine, **options: Any) -> str:
    """The line's number put into a Messaging Service."""
    service = line.emulator.add_service("Shop", **options)
    credentials = (line.emulator.account_sid, line.emulator.auth_token.get_secret_value())
    async with httpx2.AsyncClient(base_url=line.emulator.url, auth=credentials) as client:
        listed = await client.get(f"/2010-04-01/Accounts/{line.emulator.account_sid}/IncomingPhoneNumbers.json")
        number = next(n["sid"] for n in listed.json()["incoming_phone_numbers"] if n["phone_number"] == OURS)
        joined = await client.post(f"/v1/Services/{service.sid}/PhoneNumbers", data={"PhoneNumberSid": number})
        assert joined.status_code == 201
    return service.sid


async def test_what_twilio_lacks_is_found_and_mended(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        before = await examined(line.core.settings)
        assert before["webhook of line"].state is State.WARN
        assert "rc=5&rp=all" in before["webhook of line"].found
        assert broken(before) == {"fallback of line"}
        mended = await at_twilio(line, fix=True)
        assert mended["webhook of line"].found == f"mended: set at the number {OURS}"
        after = await examined(line.core.settings)
        assert broken(after) == set()
        assert after["webhook of line"].state is State.OK
        assert after["signature of line"].state is State.OK
        assert after["proxy headers"].found == f"requests arrive as {line.core.settings.public_url}"
        assert after["knowledge"].mend == "hookflash ingest PATH"


async def test_a_number_in_a_service_is_looked_up_where_twilio_looks(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        await service_of(
            line, inbound_request_url="https://elsewhere.example/hook", status_callback="https://x.example/s"
        )
        found = await at_twilio(line)
        assert found["webhook of line"].state is State.FAIL
        assert "Messaging Service Shop has https://elsewhere.example/hook" in found["webhook of line"].found
        assert found["status callback of line"].state is State.WARN
        await at_twilio(line, fix=True)
        after = await at_twilio(line)
        assert after["webhook of line"].state is State.OK
        assert "Messaging Service Shop" in after["webhook of line"].found
        assert after["status callback of line"].state is State.OK


async def test_a_service_that_defers_to_its_numbers_is_passed_over(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        await service_of(line, use_inbound_webhook_on_number=True)
        found = await at_twilio(line)
        assert f"number {OURS}" in found["webhook of line"].found


async def test_a_service_with_the_numbers_of_others_is_left_alone(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        service = await service_of(line, inbound_request_url="https://elsewhere.example/hook")
        line.emulator.add_number("+15550100999", service=service)
        found = await at_twilio(line, fix=True)
        assert found["webhook of line"].state is State.FAIL
        again = await at_twilio(line)
        assert "https://elsewhere.example/hook" in again["webhook of line"].found


async def test_each_broken_link_is_named_with_its_cure(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        wrong_token = await examined(changed(line, twilio_auth_token=Secret("0" * 32)))
        assert wrong_token["signature of line"].state is State.FAIL
        assert "TWILIO_AUTH_TOKEN" in str(wrong_token["signature of line"].mend)
        assert "20003" in wrong_token["Twilio account"].found

        nobody = await at_twilio(line, public_url="http://127.0.0.1:9")
        assert "Nobody answers at 127.0.0.1:9" in nobody["public address"].found
        assert "signature of line" not in nobody

        no_name = await at_twilio(line, public_url="http://nowhere.invalid")
        assert "leads nowhere" in no_name["public address"].found

        someone_else = await at_twilio(line, public_url=line.emulator.url)
        assert "not as Hookflash does" in someone_else["public address"].found

        no_address = await at_twilio(line, public_url=None)
        assert "HOOKFLASH_PUBLIC_URL is not set" in no_address["public address"].found

        no_key = await examined(changed(line, embedder="openai:text-embedding-3-small", models=("openai:gpt-4o-mini",)))
        assert no_key["embedder"].state is State.FAIL
        assert "OPENAI_API_KEY" in f"{no_key['embedder'].found} {no_key['embedder'].mend}"
        assert no_key["model openai:gpt-4o-mini"].state is State.FAIL

        away = await examined(changed(line, database_url=Secret("postgresql://u:p@127.0.0.1:9/x")))
        assert away["database"].found == "The database does not answer."
        assert list(away)[-1] == "database"

        place = fresh_directory / "file"
        place.write_text("")
        assert "cannot be written" in (await examined(changed(line, data_dir=place)))["data directory"].found


async def test_a_model_that_no_assistant_asks_is_told(database_url: str, fresh_directory: Path) -> None:
    """As when a vendor's key comes after the assistant."""
    answer = '{"answer": "At ten.", "confidence": 0.9, "sources": [1]}'
    vendor = OpenAIServer(SystemClock())
    vendor.script.then(Reply(answer))
    async with serve(vendor) as url, text_line(database_url, fresh_directory, workers=0) as line:
        found = await examined(changed(line, openai_base_url=f"{url}/v1", openai_api_key=Secret("sk-test")))
        assert found["model openai"].state is State.WARN
        assert "no assistant asks it" in found["model openai"].found
        assert "models" in str(found["model openai"].mend)
        assert found["model extractive"].state is State.OK


async def test_stored_credentials_need_the_key_that_sealed_them(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        async with line.core.db.tenant(line.account_id) as conn:
            await line.core.integrations.update(
                conn, line.integration.id, line.core.clock.now(), credentials=line.integration.credentials
            )
        assert (await examined(line.core.settings))["secret key"].state is State.OK
        found = await examined(changed(line, secret_key=Secret(Sealer.new_key())))
        assert found["secret key"].state is State.FAIL
        assert "signature of line" not in found


async def test_an_account_without_the_number_says_so(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        async with line.core.db.tenant(line.account_id) as conn:
            await line.core.integrations.create(
                conn,
                line.account_id,
                name="other",
                assistant_id=line.integration.assistant_id,
                sender="+15550100777",
                messaging_service_sid=None,
                credentials=None,
                settings=line.integration.settings,
                meta={},
            )
        found = await examined(line.core.settings)
        assert "no number +15550100777" in found["number of other"].found


class Told:
    """A public address that answers as it was told."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    async def get(self, url: str, headers: Any) -> Answer:
        nonce = {"nonce": headers[NONCE_HEADER]} if (self.answer.json or {}).get("nonce") == "same" else {}
        return replace(self.answer, json={**(self.answer.json or {}), **nonce})

    async def post(self, url: str, form: Any, headers: Any) -> Answer:
        raise AssertionError("nothing is posted here")


async def test_a_cache_and_a_proxy_that_hides_the_scheme_are_seen() -> None:
    cached = Told(Answer(200, {}, {"status": "alive", "nonce": "an older one"}))
    (found,) = await check_public(cached, "https://bot.example.com", "n1")
    assert found.state is State.FAIL
    assert "cache" in found.found

    plain = Told(Answer(200, {}, {"status": "alive", "nonce": "same", "seen": "http://10.0.0.7:8080"}))
    address, headers = await check_public(plain, "https://bot.example.com", "n2")
    assert address.state is State.OK
    assert headers.state is State.WARN
    assert "http://10.0.0.7:8080" in headers.found

    in_the_clear, _, _ = await check_public(plain, "http://bot.example.com", "n3")
    assert in_the_clear.state is State.WARN


async def test_where_calls_go_is_found_and_mended(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        assert (await at_twilio(line))["calls of line"].state is State.OK
        account = account_of(line.core.twilio, line.integration)
        number = await account.find_number(OURS)
        assert number is not None
        await account.update_number(number.sid, voice_url="https://demo.twilio.com/welcome/voice/")
        assert (await at_twilio(line))["calls of line"].found == f"Nobody answers calls of the number {OURS}."
        assert (await at_twilio(line, fix=True))["calls of line"].found == f"mended: set at the number {OURS}"
        assert (await at_twilio(line))["calls of line"].state is State.OK
        await account.update_number(
            number.sid, voice_url="https://pbx.example/calls", status_callback="https://x.example/"
        )
        found = (await at_twilio(line, fix=True))["calls of line"]
        assert found.state is State.WARN
        assert "https://pbx.example/calls" in found.found, "somebody else's is left alone"
        await account.update_number(number.sid, voice_url=f"{line.base}/voice")
        impatient = (await at_twilio(line))["calls of line"]
        assert impatient.state is State.WARN
        assert "without rc=5" in impatient.found
        assert (await at_twilio(line))["call status callback of line"].state is State.WARN


async def test_speech_vendors_that_cannot_be_used_are_named(database_url: str, fresh_directory: Path) -> None:
    voice = VoiceConfig(way="stream", stt=("deepgram",), tts=("espeak:no-such-voice", "nobody"))
    config = AssistantConfig(name="Shop", company="Acme", voice=voice)
    async with text_line(database_url, fresh_directory, workers=0, assistant_config=config) as line:
        async with aclosing(findings(line.core.settings, False)) as stream:
            found = [finding async for finding in stream]
        transcriber, *voices = [f for f in found if f.link in ("transcriber of Shop", "voice of Shop")]
        assert transcriber.state is State.FAIL
        assert "DEEPGRAM_API_KEY" in f"{transcriber.found} {transcriber.mend}"
        assert "nobody" in voices[1].found


async def test_what_searches_and_verifies_beside_us_is_proven_where_it_is_set(
    database_url: str, fresh_directory: Path
) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line, serve(RerankServer()) as rerank:
        here = {"reranker": "http:words", "reranker_url": f"{rerank}/v1", "reranker_api_key": Secret("rr-test")}
        well = await examined(changed(line, vector_index_url=str(fresh_directory / "v.db"), rerank_seconds=5.0, **here))
        assert well["vector index"].found == "Milvus answers"
        assert well["re-ranker"].found == "http:words answers"
        assert "Verify service" not in well
        away = await examined(
            changed(line, vector_index_url="http://127.0.0.1:9", reranker="http:words", reranker_url=rerank)
        )
        assert broken(away) >= {"vector index", "re-ranker"}
        assert "HOOKFLASH_VECTOR_INDEX_URL" in str(away["vector index"].mend)
        late = await examined(changed(line, rerank_seconds=0.000_001, **here))
        assert late["re-ranker"].state is State.WARN
        unset = await examined(changed(line, reranker="http:words"))
        assert "HOOKFLASH_RERANKER_URL" in unset["settings"].found, "it is the setting that is wrong, not the database"
        service = line.emulator.add_verify_service("Shop")
        there = await at_twilio(line, twilio_verify_service_sid=service)
        assert there["Verify service"].state is State.OK
        nowhere = await at_twilio(line, twilio_verify_service_sid="VA" + "0" * 32)
        assert broken(nowhere) >= {"Verify service"}
