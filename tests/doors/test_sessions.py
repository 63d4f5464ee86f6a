"""Sessions: a window of context that quiet ends and that keeps the configuration it began with; the contact stays."""

from pathlib import Path

from hookflash.assistant import store as assistants
from hookflash.assistant.assistant import AssistantConfig
from hookflash.conversation.turn import Turn
from tests.doors.textline import OURS, TextLine, text_line

WHATSAPP = "whatsapp:+15550100300"


class Notebook:
    """Remembers the turns that it answers."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []

    async def __call__(self, turn: Turn) -> str:
        self.turns.append(turn)
        return f"answer to {turn.words}"


async def say(line: TextLine, words: str, *, to: str = OURS) -> None:
    line.phone().text(to, words)
    await line.phone().wait_reply()
    await line.at_rest()


async def later(line: TextLine, minutes: int) -> None:
    """As if that much time had passed: what happened is longer ago."""
    for table, column in (("sessions", "last_at"), ("sessions", "started_at"), ("messages", "at"), ("turns", "at")):
        await line.rows(f"update {table} set {column} = {column} - interval '{minutes} minutes' returning 1")


async def test_history_belongs_to_the_session_and_quiet_ends_it(database_url: str, fresh_directory: Path) -> None:
    notebook = Notebook()
    async with text_line(database_url, fresh_directory, answer=notebook) as line:
        await say(line, "do you have boots?")
        await later(line, 29)
        await say(line, "and shoes?")
        await later(line, 31)
        await say(line, "hello again")
        first, second, third = notebook.turns
        assert [(e.said, e.answered) for e in second.history] == [
            ("do you have boots?", "answer to do you have boots?")
        ]
        assert first.session.id == second.session.id
        assert third.session.id != second.session.id
        assert third.history == ()
        assert first.contact.id == third.contact.id
        assert len(await line.rows("select 1 from sessions")) == 2
        assert len(await line.rows("select 1 from contacts")) == 1


async def test_how_long_quiet_may_last_is_set_per_integration(database_url: str, fresh_directory: Path) -> None:
    notebook = Notebook()
    async with text_line(database_url, fresh_directory, answer=notebook, session_duration_ms=60_000) as line:
        await say(line, "one")
        await later(line, 2)
        await say(line, "two")
        await line.change(settings={"session_duration_ms": 2_592_000_000})
        await later(line, 60 * 24 * 29)
        await say(line, "three")
        assert [len(t.history) for t in notebook.turns] == [0, 0, 1]


async def test_history_has_the_last_exchanges_in_their_order(database_url: str, fresh_directory: Path) -> None:
    notebook = Notebook()
    async with text_line(database_url, fresh_directory, answer=notebook) as line:
        for n in range(10):
            await say(line, f"number {n}")
            await later(line, 1)
        assert [e.said for e in notebook.turns[-1].history] == [f"number {n}" for n in range(1, 9)]


async def test_a_session_keeps_the_configuration_that_it_began_with(database_url: str, fresh_directory: Path) -> None:
    notebook = Notebook()
    async with text_line(database_url, fresh_directory, answer=notebook) as line:
        await say(line, "one")
        async with line.core.db.tenant(line.account_id) as conn:
            changed = AssistantConfig(name="Test", company="Acme", role="You are somebody else.")
            await assistants.update(
                conn, line.account_id, line.integration.assistant_id, changed, line.core.clock.now()
            )
        await say(line, "two")
        await later(line, 31)
        await say(line, "three")
        assert [t.session.revision for t in notebook.turns] == [1, 1, 2]
        assert [t.session.config["role"] for t in notebook.turns] == ["", "", "You are somebody else."]


async def test_a_session_keeps_the_integrations_settings_but_not_its_gates(
    database_url: str, fresh_directory: Path
) -> None:
    async with text_line(database_url, fresh_directory) as line:
        await say(line, "one")
        await line.change(settings={"burst_ms": 5_000, "allow_from": []})
        line.phone().text(OURS, "two")
        await line.emulator.idle()
        await line.at_rest()
        (session,) = await line.rows("select settings from sessions")
        assert session["settings"]["burst_ms"] == 50
        (last,) = await line.rows("select state from messages where body = 'two'")
        assert last["state"] == "silenced"


async def test_a_message_that_is_not_answered_begins_no_session(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, allow_from=[]) as line:
        line.phone().text(OURS, "hello")
        await line.emulator.idle()
        assert not await line.rows("select 1 from sessions")
        assert len(await line.rows("select 1 from contacts")) == 1


async def test_what_is_known_of_a_person_is_kept(database_url: str, fresh_directory: Path) -> None:
    notebook = Notebook()
    async with text_line(database_url, fresh_directory, answer=notebook, sender=WHATSAPP) as line:
        line.phone().handset.profile_name = "Ana"
        await say(line, "hello", to=WHATSAPP)
        await say(line, "again", to=WHATSAPP)
        assert await line.rows("select name, language from contacts") == [{"name": "Ana", "language": "en"}]
        assert (notebook.turns[1].contact.name, notebook.turns[1].contact.language) == ("Ana", "en")


async def test_nothing_is_kept_of_a_person_when_it_shall_not_be(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, sender=WHATSAPP, contact_collection=False) as line:
        line.phone().handset.profile_name = "Ana"
        await say(line, "hello", to=WHATSAPP)
        assert await line.rows("select name, language from contacts") == [{"name": None, "language": None}]
        # Within the window itself the context is there all the same.
        assert len(await line.rows("select 1 from sessions")) == 1


async def test_an_assistant_that_goes_takes_its_sessions_but_not_the_person(
    database_url: str, fresh_directory: Path
) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        line.phone().text(OURS, "hello")
        await line.emulator.idle()
        async with line.core.db.tenant(line.account_id) as conn:
            other = await assistants.create(conn, line.account_id, AssistantConfig(name="Other"))
        await line.change(assistant_id=other.id)
        async with line.core.db.tenant(line.account_id) as conn:
            await assistants.delete(conn, line.integration.assistant_id)
        async with line.working():
            await line.at_rest()
            (row,) = await line.rows("select state, why from messages")
            assert row == {"state": "failed", "why": "the assistant was deleted"}
            line.phone().text(OURS, "anybody?")
            assert (await line.phone().wait_reply()).body == "You said: anybody?"


async def test_a_follow_up_is_understood_from_what_was_said_before(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, answer=None) as line:
        await line.teach_text(
            "Returns",
            "# Returns\n\n## Boots\n\nBoots can be returned within 30 days.\n\n"
            "## Tents\n\nTents can be returned within 90 days.\n",
        )
        await say(line, "How many days do I have to return boots?")
        await say(line, "and for tents?")
        first, second = await line.rows("select question, answered from turns order by at")
        assert "30 days" in first["answered"]
        assert "90 days" in second["answered"]
        assert "return" in second["question"]
