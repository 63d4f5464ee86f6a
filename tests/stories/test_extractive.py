"""Answers made of the passages' own sentences."""

import hashlib
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookflash.assistant.model import ModelReply, ModelRequest, nowhere
from hookflash.base.errors import Unavailable
from hookflash.knowledge.passage import Passage, Vector
from hookflash.providers.extractive import ABSTAIN, REMEMBERED, Extractive, shortened
from hookflash.providers.extractive_units import plain, units

SURE = 0.4  # an assistant's threshold by default


class WordEmbedder:
    """Vectors of the words of a text, so that texts with the same words are near. `seen` is what it was asked for."""

    name = "words"
    dimensions = 256
    max_tokens = 256

    def __init__(self) -> None:
        self.seen: list[list[str]] = []

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def embed(self, texts: list[str]) -> Vector:
        self.seen.append(texts)
        vectors = np.full((len(texts), self.dimensions), 0.01, np.float32)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()):
                vectors[row, hashlib.blake2b(word[:5].encode(), digest_size=1).digest()[0]] += 1
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


class BrokenEmbedder(WordEmbedder):
    async def embed(self, texts: list[str]) -> Vector:
        raise Unavailable("The embedding model failed.")


def passage(text: str, title: str, *headings: str, score: float = 0.6) -> Passage:
    return Passage(1, "s", "d", title, (title, *headings), text, None, score, score, None)


RETURNS = passage(
    "You can return shoes, boots and sandals within 30 days. Try them on indoors: shoes worn outside cannot be returned.",
    "Returns",
    "Shoes",
)
CLOTHING = passage("You can return clothing within 60 days. It must be unwashed.", "Returns", "Clothing")
SHIPPING = passage(
    "Standard shipping costs **$5.95** and takes 3 to 5 business days. Express costs $14.95.", "Shipping", "Prices"
)
HARBOR = passage(
    "Day: Monday to Friday; Opens: 10 a.m.; Closes: 7 p.m.\nDay: Sunday; Opens: 11 a.m.; Closes: 5 p.m.",
    "Opening hours",
    "Harbor Street store",
)
MILLBROOK = passage("Day: Sunday; Opens: 12 noon; Closes: 6 p.m.", "Opening hours", "Millbrook store")
LAMP = passage("SKU: AP-A120\nProduct: Lumen headlamp\nPrice: $42\nWeight: 85 g", "Price list")
DOGS = passage(
    "Dogs on a leash are welcome in both stores. There is a water bowl.", "Can I bring my dog into the store?"
)
STEPS = passage(
    "1. Open your order and choose the items.\n2. Print the [label](https://example.com/label).\n3. Drop the parcel off.",
    "Returns",
    "How to send something back",
)
GOLD = passage("Gold members get:\n\n- free express shipping\n- 10 % off rentals", "Trail Club", "Gold")
ALL = (RETURNS, CLOTHING, SHIPPING, HARBOR, MILLBROOK)


async def ask(question: str, *passages: Passage, max_chars: int | None = None, language: str = "en") -> ModelReply:
    request = ModelRequest("", (), question, passages, language, max_chars=max_chars)
    return await Extractive(WordEmbedder()).reply(request, nowhere)


@pytest.mark.parametrize(
    ("question", "passages", "fact", "source"),
    [
        ("How long can I return shoes?", ALL, "within 30 days", 1),
        ("How long can I return clothing?", ALL, "within 60 days", 2),
        ("how much is standard shipping", ALL, "costs $5.95", 3),
        ("How much does express shipping cost?", ALL, "$14.95", 3),
        (
            "When does the Millbrook store open on Sunday?",
            ALL,
            "Millbrook store - Sunday: opens 12 noon, closes 6 p.m.",
            5,
        ),
        ("how heavy is the lumen headlamp", (RETURNS, LAMP), "Lumen headlamp: SKU AP-A120, price $42, weight 85 g.", 2),
        (
            "can i bring my dog",
            (RETURNS, DOGS),
            "Dogs on a leash are welcome in both stores. There is a water bowl.",
            2,
        ),
        ("how do I send something back", (RETURNS, STEPS), "Print the label (https://example.com/label). Drop", 2),
        ("what do gold members get on rentals", (GOLD,), "Gold members get: 10 % off rentals", 1),
    ],
)
async def test_the_sentence_that_answers_is_said(
    question: str, passages: tuple[Passage, ...], fact: str, source: int
) -> None:
    reply = await ask(question, *passages)
    assert fact in reply.answer
    assert reply.sources == (source,)
    assert reply.confidence >= SURE
    assert reply.model == "extractive"


@pytest.mark.parametrize(
    "question",
    ["do you rent helicopters", "who won the world cup", "what is the capital of France", "asdf qwer zxcv", "👍", "?"],
)
async def test_what_the_passages_do_not_say_is_not_answered(question: str) -> None:
    reply = await ask(question, *(passage(p.text, p.title, *p.headings[1:], score=0.2) for p in ALL))
    assert reply.confidence < SURE
    assert (reply.answer == "") == (reply.confidence < ABSTAIN)


async def test_no_passages_no_answer() -> None:
    assert await ask("How long can I return shoes?") == ModelReply("", 0.0, (), "extractive")


async def test_the_missing_thing_of_a_question_lowers_the_confidence() -> None:
    known = await ask("how much is standard shipping", SHIPPING)
    elsewhere = await ask("how much is standard shipping to Germany", SHIPPING)
    assert elsewhere.confidence < known.confidence


async def test_a_sentence_that_leans_on_another_brings_it() -> None:
    reply = await ask("must clothing be unwashed to return it", CLOTHING)
    assert reply.answer == "You can return clothing within 60 days. It must be unwashed."


async def test_rows_of_both_stores_are_said_when_none_was_named() -> None:
    reply = await ask("are you open on sunday?", HARBOR, MILLBROOK)
    assert reply.answer == (
        "Harbor Street store - Sunday: opens 11 a.m., closes 5 p.m. Millbrook store - Sunday: opens 12 noon, closes 6 p.m."
    )
    assert reply.sources == (1, 2)


async def test_of_tables_the_whole_is_said_when_no_row_was_asked_for() -> None:
    intro = passage("We have two stores. Both open every day except on the holidays listed below.", "Opening hours")
    odd = passage("On Labor Day they are open from 11 a.m. to 5 p.m.", "Opening hours", "Holidays")
    monday = passage(
        f"{MILLBROOK.text}\nDay: Saturday; Opens: 10 a.m.; Closes: 8 p.m.", "Opening hours", "Millbrook store"
    )
    reply = await ask("what are your opening hours?", odd, HARBOR, monday, intro)
    assert reply.answer == (
        "Harbor Street store - Monday to Friday: opens 10 a.m., closes 7 p.m.; Sunday: opens 11 a.m., closes 5 p.m."
        " Millbrook store - Sunday: opens 12 noon, closes 6 p.m.; Saturday: opens 10 a.m., closes 8 p.m."
    )


async def test_a_number_is_found_in_the_row_whose_span_holds_it() -> None:
    bulk = passage(
        "Pieces: 10 to 24; Discount: 10 %\nPieces: 25 to 49; Discount: 15 %\nPieces: 50 or more; Discount: 18 %",
        "Bulk orders",
    )
    for pieces, discount in ((12, "10 %"), (30, "15 %"), (60, "18 %")):
        reply = await ask(f"discount for {pieces} pieces", bulk)
        assert [found for found in ("10 %", "15 %", "18 %") if found in reply.answer] == [discount]


async def test_a_question_of_the_document_is_no_answer() -> None:
    parts = passage("Missing tent pegs? Tell us which, and we send them within 2 days.", "Faults", "Missing parts")
    reply = await ask("my tent pegs are missing", parts)
    assert reply.answer in ("", "Missing tent pegs? Tell us which, and we send them within 2 days.")
    assert not (await ask("tent pegs missing", parts)).answer.endswith("?")


async def test_as_good_an_answer_that_stands_before_comes_first() -> None:
    costs = passage("Shipping to Oregon costs $5. It is quick. Shipping to Mexico costs $24.", "Shipping", "Prices")
    reply = await ask("how much is shipping?", costs)
    assert reply.answer.startswith("Shipping to Oregon costs $5.")


async def test_two_questions_in_one_are_both_answered() -> None:
    asked = "How long can I return shoes, and how much does standard shipping cost?"
    reply = await ask(asked, *ALL)
    assert "within 30 days" in reply.answer
    assert "costs $5.95" in reply.answer
    assert reply.sources == (1, 3)
    short = await ask(asked, *ALL, max_chars=130)
    assert "within 30 days" in short.answer
    assert "costs $5.95" in short.answer
    half = await ask("How much does standard shipping cost, and do you sell kayaks?", SHIPPING)
    assert half.confidence < SURE


async def test_a_telephone_number_need_not_be_called_one() -> None:
    contact = passage("Call us at +1 503 555 0110. Our e-mail is help@shop.example.", "Contact")
    assert "503 555 0110" in (await ask("whats your phone number", contact, SHIPPING)).answer


async def test_where_no_street_is_named_no_address_is_given() -> None:
    cash = passage("Cash is only taken in our stores.", "Payment")
    assert (await ask("where is your store?", cash)).confidence < SURE
    store = passage("The store is at 58 Quarry Road, Millbrook.", "Stores")
    assert "58 Quarry Road" in (await ask("where is your store?", cash, store)).answer


async def test_what_is_named_for_a_bare_topic_is_preferred() -> None:
    form = passage('Write "returned goods" on the form. Returns are free.', "Customs", "Returns from abroad")
    reply = await ask("returns", form, passage("You can return what you bought within 60 days.", "Returns"))
    assert reply.sources == (2,)


class Spelling(WordEmbedder):
    """Knows every word but these."""

    def count_tokens(self, text: str) -> int:
        return 2 if text in {"retrun", "shose", "kayaks"} else 1


async def test_slips_of_the_finger_are_mended_by_the_passages_words() -> None:
    request = ModelRequest("", (), "can i retrun shose", ALL, "en")
    assert "within 30 days" in (await Extractive(Spelling()).reply(request, nowhere)).answer


async def test_the_answer_is_in_the_language_of_the_passage() -> None:
    spanish = passage("El envío estándar cuesta 5,95 dólares y tarda de 3 a 5 días laborables.", "Preguntas", "Envíos")
    reply = await ask("¿cuánto cuesta el envío estándar?", RETURNS, spanish, language="es")
    assert reply.answer == "El envío estándar cuesta 5,95 dólares y tarda de 3 a 5 días laborables."
    assert reply.sources == (2,)


@pytest.mark.parametrize("limit", [20, 60, 90, 160])
async def test_the_answer_fits(limit: int) -> None:
    reply = await ask("Can I return shoes that were worn outside, and within how many days?", RETURNS, max_chars=limit)
    assert 0 < len(reply.answer) <= limit
    assert reply.answer[-1] in ".…"


async def test_all_of_the_answer_is_streamed() -> None:
    heard: list[str] = []

    async def stream(piece: str) -> None:
        heard.append(piece)

    request = ModelRequest("", (), "How long can I return shoes?", ALL, "en")
    reply = await Extractive(WordEmbedder()).reply(request, stream)
    assert "".join(heard) == reply.answer


async def test_without_the_embedder_the_words_decide() -> None:
    request = ModelRequest("", (), "How long can I return shoes?", ALL, "en")
    reply = await Extractive(BrokenEmbedder()).reply(request, nowhere)
    assert "within 30 days" in reply.answer


async def test_a_sentence_is_embedded_once_and_the_reply_stays_the_same() -> None:
    embedder = WordEmbedder()
    model = Extractive(embedder)
    request = ModelRequest("", (), "How long can I return shoes?", ALL, "en")
    first = await model.reply(request, nowhere)
    assert await model.reply(request, nowhere) == first
    assert len(embedder.seen) == 1
    await model.reply(ModelRequest("", (), "How long may I return shoes?", ALL, "en"), nowhere)
    assert embedder.seen[1] == ["How long may I return shoes?"]


async def test_the_memory_of_sentences_is_bounded() -> None:
    embedder = WordEmbedder()
    model = Extractive(embedder)
    for number in range(REMEMBERED + 10):
        await model.reply(ModelRequest("", (), f"shoes {number}", (CLOTHING,), "en"), nowhere)
    before = len(embedder.seen)
    await model.reply(ModelRequest("", (), "shoes 0", (CLOTHING,), "en"), nowhere)
    assert embedder.seen[before:] == [["shoes 0"]]


def test_markdown_does_not_show() -> None:
    assert plain("## **Bold** and `code`, see [here](https://a.example) and *that*") == (
        "Bold and code, see here (https://a.example) and that"
    )
    assert plain("2 * 3 * 4 snake_case_name") == "2 * 3 * 4 snake_case_name"


@given(st.text(), st.integers(0, 200))
def test_a_shortened_text_fits(text: str, limit: int) -> None:
    assert len(shortened(text, limit)) <= limit or len(text) <= limit


@given(st.text(), st.text(max_size=30), st.lists(st.text(max_size=20), max_size=3))
def test_any_passage_can_be_read(text: str, title: str, headings: list[str]) -> None:
    for unit in units(Passage(1, "s", "d", title, tuple(headings), text, None, 0.5, None, 0.5)):
        assert unit.said.strip() != ""
        assert "\n" not in unit.said
