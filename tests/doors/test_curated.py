"""Curated answers: written, proposed, approved; found by the same words or other ones; counted."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from hookflash.base.clock import SystemClock
from hookflash.base.errors import Invalid, NotFound
from hookflash.db.pool import Database
from hookflash.insight.trial import Trial
from hookflash.knowledge import curated_store
from hookflash.knowledge.curated import CuratedAnswer, CuratedMatch, normalised, same_matter
from hookflash.knowledge.curated_jobs import QuestionEmbedder
from hookflash.knowledge.curated_store import CuratedAnswers
from hookflash.workspace import store as workspace
from tests.doors.tenants import open_api
from tests.doors.test_knowledge_store import Words
from tests.doors.textline import OURS, text_line

CLOCK = SystemClock()


@dataclass
class Desk:
    """An account that has two assistants, and its curated answers."""

    db: Database
    account: str
    assistants: tuple[str, str]
    words: Words
    curated: CuratedAnswers
    embedder: QuestionEmbedder

    async def write(self, answer: str, *questions: str, **more: str | None) -> CuratedAnswer:
        async with self.db.tenant(self.account) as conn:
            made = await curated_store.create_answer(
                conn,
                self.account,
                questions=questions,
                answer=answer,
                now=CLOCK.now(),
                **more,  # type: ignore[arg-type]
            )
        await self.embedder.embed(self.account)
        return made

    async def find(self, question: str, *, assistant: int = 0, language: str = "en") -> CuratedMatch | None:
        return await self.curated.find(
            self.account, question, assistant_id=self.assistants[assistant], language=language
        )

    async def said(self, question: str, *, assistant: int = 0, language: str = "en") -> str | None:
        found = await self.find(question, assistant=assistant, language=language)
        return found.answer if found else None

    async def get(self, answer_id: str) -> CuratedAnswer:
        async with self.db.tenant(self.account) as conn:
            return await curated_store.get_answer(conn, answer_id)


@pytest.fixture
async def desk(database: Database) -> Desk:
    account = await workspace.create_account(database, "Acme")
    async with database.tenant(account) as conn:
        for name in ("asst_one", "asst_two"):
            await conn.execute(
                "insert into assistants (id, account_id, name, config) values (%s, %s, %s, '{}')", (name, account, name)
            )
    words = Words("one")
    curated = CuratedAnswers(database, CLOCK, lambda _: words, "one")
    embedder = QuestionEmbedder(database, lambda _: words, "one")
    return Desk(database, account, ("asst_one", "asst_two"), words, curated, embedder)


async def test_the_same_question_in_any_dress_gets_the_exact_answer_and_is_counted(desk: Desk) -> None:
    made = await desk.write("12 Harbour Road.", "Where are you?", "What is your address?")
    found = await desk.find("  where are YOU ?!")
    assert found == CuratedMatch(made.id, "12 Harbour Road.", "Where are you?", 1.0)
    assert await desk.said("What is your address") == "12 Harbour Road."
    assert await desk.said("WHERE ARE YOU") == "12 Harbour Road."
    after = await desk.get(made.id)
    assert (after.hits, {q.question: q.hits for q in after.questions}) == (
        3,
        {"Where are you?": 2, "What is your address?": 1},
    )
    assert after.last_hit_at is not None


async def test_the_same_in_other_words_is_found_and_what_is_merely_near_is_not(desk: Desk) -> None:
    await desk.write("Nine.", "when does your shop in Springfield open in the morning on Monday")
    found = await desk.find("when does the shop in Springfield open in the morning on Monday")
    assert found is not None
    assert 0.9 <= found.similarity < 1
    assert await desk.said("when does the shop open") is None
    assert await desk.said("something else altogether") is None


async def test_a_number_a_code_or_a_denial_makes_it_another_question(desk: Desk) -> None:
    await desk.write("Five years.", "how long is the warranty of the big tent WX-200 if it was bought new")
    assert await desk.said("how long is the warranty of the big tent WX-200 if it was bought new then") == "Five years."
    assert await desk.said("how long is the warranty of the big tent WX-300 if it was bought new then") is None
    assert await desk.said("how long is the warranty of the big tent WX-200 if it was not bought new") is None


async def test_without_an_embedder_the_same_words_still_find_it(desk: Desk) -> None:
    await desk.write("12 Harbour Road.", "Where are you?")
    desk.words.fails = 99
    assert await desk.said("where are you") == "12 Harbour Road."
    assert await desk.said("where exactly are you") is None


async def test_an_account_without_curated_answers_embeds_nothing(desk: Desk) -> None:
    assert await desk.said("where are you") is None
    assert await desk.said("?!") is None
    assert desk.words.embedded == []


async def test_the_answer_for_this_assistant_in_this_language_comes_first(desk: Desk) -> None:
    await desk.write("any", "where?")
    await desk.write("two", "where?", assistant_id="asst_two")
    await desk.write("spanish", "where?", language="es")
    assert await desk.said("where") == "any"
    assert await desk.said("where", assistant=1) == "two"
    assert await desk.said("where", language="es") == "spanish"
    await desk.write("hindi", "kahan?", language="hi")
    assert await desk.said("kahan", language="hi-Latn") == "hindi"
    assert await desk.said("kahan", language="en") is None


async def test_what_is_proposed_is_given_to_nobody_until_it_is_approved(desk: Desk) -> None:
    async def propose(question: str = "Can I bring my dog?") -> CuratedAnswer | None:
        async with desk.db.tenant(desk.account) as conn:
            return await curated_store.propose(
                conn,
                desk.account,
                question=question,
                answer="Yes, on a lead.",
                origin="ticket",
                origin_id="tick_1",
                now=CLOCK.now(),
            )

    assert await propose(" ?") is None
    proposed = await propose()
    assert proposed is not None
    assert (proposed.state, proposed.origin, proposed.origin_id) == ("proposed", "ticket", "tick_1")
    assert await propose() is None, "a ticket proposes once"
    await desk.embedder.embed(desk.account)
    assert await desk.said("can i bring my dog") is None
    async with desk.db.tenant(desk.account) as conn:
        await curated_store.update_answer(conn, proposed.id, {"state": "approved"}, None, CLOCK.now())
    assert await desk.said("can i bring my dog") == "Yes, on a lead."


async def test_questions_can_be_changed_and_keep_their_counts(desk: Desk) -> None:
    made = await desk.write("Nine.", "When do you open?", "Opening hours?")
    await desk.find("when do you open")
    embedded = len(desk.words.embedded)
    async with desk.db.tenant(desk.account) as conn:
        changed = await curated_store.update_answer(
            conn, made.id, {"answer": "Ten."}, ["when do you OPEN", "Since when?"], CLOCK.now()
        )
        with pytest.raises(Invalid):
            await curated_store.update_answer(conn, made.id, {}, ["?"], CLOCK.now())
    await desk.embedder.embed(desk.account)
    assert {q.question: q.hits for q in changed.questions} == {"when do you OPEN": 1, "Since when?": 0}
    assert len(desk.words.embedded) == embedded + 1
    assert (await desk.said("when do you open"), await desk.said("opening hours")) == ("Ten.", None)
    async with desk.db.tenant(desk.account) as conn:
        await curated_store.delete_answer(conn, made.id)
    assert await desk.said("when do you open") is None
    with pytest.raises(NotFound):
        await desk.get(made.id)


async def test_another_model_embeds_every_question_anew(desk: Desk) -> None:
    await desk.write("Nine.", "when does your shop in Springfield open in the morning on Monday")
    other = Words("two")
    curated = CuratedAnswers(desk.db, CLOCK, lambda _: other, "two")
    asked = "when does the shop in Springfield open in the morning on Monday"
    assert await curated.find(desk.account, asked, assistant_id="asst_one", language="en") is None
    await QuestionEmbedder(desk.db, lambda _: other, "two").embed_all()
    assert await curated.find(desk.account, asked, assistant_id="asst_one", language="en") is not None


async def test_over_the_api(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    async with open_api(database_url, tmp_path_factory.getbasetemp()) as api:
        caller = await api.account("Acme")
        body = {"questions": ["Where?", "where"], "answer": "Here.", "state": "proposed", "language": "en"}
        made = await caller.call("POST", "/v1/answers", body, status=201)
        assert [q["question"] for q in made["questions"]] == ["Where?"]
        assert (await caller.call("GET", "/v1/answers?state=approved"))["items"] == []
        path = f"/v1/answers/{made['id']}"
        changed = await caller.call("PATCH", path, {"state": "approved", "language": None, "answer": None})
        assert (changed["state"], changed["language"], changed["answer"]) == ("approved", None, "Here.")
        assert [a["id"] for a in (await caller.call("GET", "/v1/answers?state=approved"))["items"]] == [made["id"]]
        await caller.call("POST", "/v1/answers", {"questions": ["?"], "answer": "x"}, status=422)
        await caller.call("POST", "/v1/answers", {"questions": [], "answer": "x"}, status=422)
        await caller.call("DELETE", path, status=204)
        await caller.call("GET", path, status=404)


def test_what_is_the_same_question() -> None:
    assert normalised("  Wo—ist\u00a0 das?! ") == "wo ist das"
    assert normalised("क्या है?") == "क्या है"
    assert same_matter("price of 2 tents", "cost for 2 tents")
    assert not same_matter("price of 2 tents", "price of 3 tents")
    assert not same_matter("can I return it", "can’t I return it")
    assert not same_matter("is A4 in stock", "is A5 in stock")


async def test_a_customer_gets_the_exact_answer_before_anything_is_searched(
    database_url: str, fresh_directory: Path
) -> None:
    async with text_line(database_url, fresh_directory, answer=None) as line:
        async with line.core.db.tenant(line.account_id) as conn:
            await curated_store.create_answer(
                conn,
                line.account_id,
                questions=["Do you have a loyalty program?"],
                answer="Yes: the Trail Club.",
                now=line.core.clock.now(),
            )
        phone = line.phone()
        phone.text(OURS, "do you have a loyalty program")
        assert (await phone.wait_reply()).body == "Yes: the Trail Club."
        (turn,) = await line.rows("select kind, model from turns")
        assert turn["kind"] == "answered"
        assert turn["model"].startswith("curated (")


async def test_a_question_of_its_own_is_known_word_for_word_amid_others_and_a_try_is_not_counted(
    database_url: str, fresh_directory: Path
) -> None:
    async with text_line(database_url, fresh_directory, answer=None) as line:
        async with line.core.db.tenant(line.account_id) as conn:
            await curated_store.create_answer(
                conn, line.account_id, questions=["Is it free?"], answer="All of it is free.", now=line.core.clock.now()
            )
        phone = line.phone()
        phone.text(OURS, "Tell me of the delivery of parcels by mail")
        await phone.wait_reply()
        phone.text(OURS, "is it free")
        assert (await phone.wait_reply()).body == "All of it is free.", "and is not taken for a follow-up"
        config, core = line.integration.assistant, line.core
        trial = Trial(core.answer, line.account_id, line.integration.assistant_id, 1, config, core.clock.now)
        assert (await trial.again("Is it free?", "en", ())).text == "All of it is free."
        assert [row["hits"] for row in await line.rows("select hits from curated_answers")] == [1]
