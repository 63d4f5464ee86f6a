"""Money, breakers and certainty: what a turn costs, when a model is passed over, when an answer is good enough."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookflash.assistant import cost
from hookflash.assistant.confidence import Answer, Clarify, Unknown, combine, decide
from hookflash.assistant.model import ModelReply
from hookflash.base.breaker import FAILURES, PAUSE, Breaker
from hookflash.base.phone import Kind
from hookflash.conversation.turn import Exchange, Usage
from hookflash.knowledge.passage import Vector


class Counting:
    """An embedder that only counts."""

    dimensions = 2
    max_tokens = 100

    def __init__(self, name: str) -> None:
        self.name = name

    def count_tokens(self, text: str) -> int:
        return len(text)

    async def embed(self, texts: list[str]) -> Vector:
        return np.ones((len(texts), 2), dtype=np.float32)


def test_tokens_cost_what_the_list_says() -> None:
    priced = cost.tokens("openai:gpt-4o-mini", Usage(1_000_000, 1_000_000))
    assert priced == cost.Priced(750_000)
    assert cost.tokens("anthropic:claude-sonnet-4-5", Usage(1_000, 100)).micros == 4_500


def test_a_model_without_a_price_costs_nothing_and_says_so() -> None:
    priced = cost.tokens("openai:llama-of-ours", Usage(1_000, 1_000))
    assert priced.micros == 0
    assert priced.note == "no price list has openai:llama-of-ours"
    assert cost.tokens("extractive", Usage(1_000, 1_000)) == cost.Priced(0)


def test_small_amounts_are_rounded_up() -> None:
    assert cost.tokens("openai:gpt-4o-mini", Usage(1, 0)).micros == 1


def test_embeddings_cost_where_they_are_bought() -> None:
    used = cost.embedding(Counting("openai:text-embedding-3-small@512"), "x" * 1_000)
    assert used == Usage(embedded_tokens=1_000, embedding_micros=20)
    assert cost.embedding(Counting("minilm"), "x" * 10) == Usage(embedded_tokens=10)


def test_texts_cost_by_destination_and_segments() -> None:
    assert cost.texts(Kind.SMS, "US", 3) == cost.Priced(24_900)
    assert cost.texts(Kind.SMS, "US", 1, media=True) == cost.Priced(22_000)
    assert cost.texts(Kind.SMS, "US", 2, prices={"US": 5_000}) == cost.Priced(10_000)
    assert cost.texts(Kind.WHATSAPP, "IN", 2) == cost.Priced(10_000)
    assert cost.texts(Kind.WEB, None, 9) == cost.Priced(0)


def test_an_unlisted_destination_is_estimated_on_the_dear_side() -> None:
    priced = cost.texts(Kind.SMS, "ZZ", 1)
    assert priced.micros == cost.ANYWHERE.segment
    assert priced.note is not None
    assert cost.texts(Kind.SMS, None, 1).micros >= Decimal(cost.SMS_PRICES["US"].segment)


def test_usages_add_up() -> None:
    assert cost.total(Usage(1, 2, 3, 4, 5), Usage(10, 20, 30, 40, 50)) == Usage(11, 22, 33, 44, 55)


def test_a_breaker_opens_tries_once_and_closes() -> None:
    breaker = Breaker()
    for _ in range(FAILURES):
        assert breaker.admit(0.0)
        breaker.failed(0.0)
    assert breaker.state(PAUSE - 1) == "open"
    assert not breaker.admit(PAUSE - 1)
    assert breaker.admit(PAUSE)
    assert not breaker.admit(PAUSE)
    breaker.failed(PAUSE)
    assert not breaker.admit(2 * PAUSE - 1)
    assert breaker.admit(2 * PAUSE)
    breaker.succeeded()
    assert breaker.state(2 * PAUSE) == "closed"


def test_a_trial_that_was_abandoned_does_not_block_the_next() -> None:
    breaker = Breaker(opened_at=0.0, failures=FAILURES)
    assert breaker.admit(PAUSE)
    breaker.abandoned()
    assert breaker.admit(PAUSE)


@given(st.lists(st.sampled_from(["admit", "ok", "bad", "gone", "wait"]), max_size=60))
def test_a_breaker_never_stays_shut_for_longer_than_its_pause(events: list[str]) -> None:
    breaker, now, running = Breaker(), 0.0, 0
    for event in events:
        if event == "wait":
            now += PAUSE
        elif event == "admit":
            running += breaker.admit(now)
        elif running:
            running -= 1
            if event == "bad":
                breaker.failed(now)
            else:
                {"ok": breaker.succeeded, "gone": breaker.abandoned}[event]()
    for _ in range(running):
        breaker.abandoned()
    assert breaker.admit(now + PAUSE)


def reply(
    confidence: float, sources: tuple[int, ...] = (1,), answer: str = "Yes.", clarifying: bool = False
) -> ModelReply:
    return ModelReply(answer, confidence, sources, "m", clarifying=clarifying)


@given(st.floats(), st.floats(), st.booleans())
def test_confidence_stays_between_0_and_1_and_never_exceeds_what_was_stated(
    retrieval: float, stated: float, generative: bool
) -> None:
    combined = combine(retrieval, reply(stated), generative=generative)
    assert 0 <= combined <= 1
    if 0 <= stated <= 1:
        assert combined <= stated


def test_a_generative_model_needs_passages_that_it_names() -> None:
    assert combine(0.5, reply(0.9), generative=True) > 0.7
    assert combine(0.5, reply(0.9, ()), generative=True) < 0.4
    assert combine(0.1, reply(0.45, ()), generative=False) == 0.45


QUESTION_BACK = Exchange("price?", "Of what?")
ANSWERED = Exchange("price of a coat?", "80 EUR.")


@pytest.mark.parametrize(
    ("given_reply", "confidence", "history", "decision"),
    [
        (reply(0.9), 0.9, [], Answer()),
        (reply(0.3), 0.3, [], Clarify()),
        (reply(0.3), 0.3, [QUESTION_BACK], Unknown()),
        (reply(0.3), 0.3, [QUESTION_BACK, ANSWERED], Unknown()),
        (reply(0.3), 0.3, [QUESTION_BACK, ANSWERED, ANSWERED], Clarify()),
        (reply(0.1), 0.1, [], Unknown()),
        (reply(0.9, answer=""), 0.9, [], Clarify()),
        (reply(0.9, clarifying=True), 0.9, [], Clarify()),
        (reply(0.9, clarifying=True), 0.9, [QUESTION_BACK], Unknown()),
    ],
)
def test_what_follows_from_certainty(
    given_reply: ModelReply, confidence: float, history: list[Exchange], decision: object
) -> None:
    assert decide(given_reply, confidence, 0.4, may_clarify=True, history=history) == decision


def test_an_assistant_that_may_not_ask_back_does_not() -> None:
    assert decide(reply(0.3), 0.3, 0.4, may_clarify=False, history=[]) == Unknown()
