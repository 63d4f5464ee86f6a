"""The gates of a text message: each alone, and that they are asked in their order until one does not pass."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TypeVar

import pytest

from hookflash.base.phone import Address
from hookflash.channels.gates import GATES, LOOP_QUICK
from hookflash.channels.integration import IntegrationSettings
from hookflash.conversation.intake import Arrival, Past, Rules, Standing, decide
from hookflash.conversation.turn import Pass, Reply, Silence, Verdict

T = TypeVar("T", Standing, Rules)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ARRIVAL = Arrival(
    account_id="acc_1",
    integration_id="intg_1",
    sid="SM" + "0" * 32,
    address=Address.parse("+15550111222"),
    sender=Address.parse("+15550100200"),
    text="do you have boots?",
    media=(),
    at=NOW,
)
STANDING = Standing(
    contact_id="cont_1",
    language=None,
    opted_out=False,
    human_has_it=False,
    in_last_minute=0,
    spent_contact=0,
    spent_account=0,
    recent=(),
    seen=None,
    session_id=None,
)
RULES = Rules(
    disabled=False,
    allow_from=("*",),
    messages_per_minute=20,
    contact_day_micros=2_000_000,
    account_day_micros=100_000_000,
    stale_after=3600.0,
    texts={"stop": "No more.", "start": "Welcome back.", "help": "Ask away."},
)
NAMES = [name for name, _ in GATES]


def asked(
    arrival: Arrival = ARRIVAL, standing: Standing = STANDING, rules: Rules = RULES
) -> tuple[tuple[str, Verdict], ...]:
    return decide(GATES, arrival, standing, rules, NOW)


def stopped_by(arrival: Arrival = ARRIVAL, standing: Standing = STANDING, rules: Rules = RULES) -> str | None:
    """The gate that did not pass, if any."""
    name, verdict = asked(arrival, standing, rules)[-1]
    return None if isinstance(verdict, Pass) else name


def test_with_nothing_against_it_every_gate_is_asked_in_its_order() -> None:
    assert [(name, type(verdict)) for name, verdict in asked()] == [(name, Pass) for name in NAMES]
    assert NAMES == ["known", "enabled", "allow-list", "opt-out", "human", "rate", "spend", "loop", "age"]


REFUSALS = {
    "known": (ARRIVAL, replace(STANDING, seen="msg_1"), RULES),
    "enabled": (ARRIVAL, STANDING, replace(RULES, disabled=True)),
    "allow-list": (ARRIVAL, STANDING, replace(RULES, allow_from=())),
    "opt-out": (ARRIVAL, replace(STANDING, opted_out=True), RULES),
    "human": (ARRIVAL, replace(STANDING, human_has_it=True), RULES),
    "rate": (ARRIVAL, replace(STANDING, in_last_minute=20), RULES),
    "spend": (ARRIVAL, replace(STANDING, spent_contact=2_000_000), RULES),
    "loop": (ARRIVAL, replace(STANDING, recent=(Past("in", ARRIVAL.text, 9.0),) * 3), RULES),
    "age": (replace(ARRIVAL, at=NOW - timedelta(hours=2)), STANDING, RULES),
}


@pytest.mark.parametrize("name", NAMES)
def test_each_gate_alone_says_no_with_a_reason(name: str) -> None:
    verdicts = asked(*REFUSALS[name])
    assert [n for n, _ in verdicts] == NAMES[: NAMES.index(name) + 1]
    last = verdicts[-1][1]
    assert isinstance(last, Silence)
    assert last.why


@pytest.mark.parametrize(("first", "second"), list(pairwise(NAMES)))
def test_of_two_gates_that_would_say_no_the_earlier_one_does(first: str, second: str) -> None:
    (arrival, standing, rules), (other_arrival, other_standing, other_rules) = REFUSALS[first], REFUSALS[second]
    both = (
        other_arrival if arrival is ARRIVAL else arrival,
        _mixed(STANDING, standing, other_standing),
        _mixed(RULES, rules, other_rules),
    )
    assert stopped_by(*both) == first


def _mixed(plain: T, one: T, other: T) -> T:
    changed = {
        f.name: getattr(v, f.name)
        for v in (other, one)
        for f in fields(plain)
        if getattr(v, f.name) != getattr(plain, f.name)
    }
    return replace(plain, **changed)


@pytest.mark.parametrize(
    ("listed", "address", "passes"),
    [
        ([], "+15550111222", False),
        (["*"], "+15550111222", True),
        (["*"], "whatsapp:US.1234567", True),
        (["+15550111222"], "+15550111222", True),
        (["+15550111222"], "whatsapp:+15550111222", True),
        (["15550111222"], "+15550111222", True),
        ([" +15550111222 "], "+15550111222", True),
        (["whatsapp:+15550111222"], "whatsapp:+15550111222", True),
        (["whatsapp:+15550111222"], "+15550111222", False),
        (["+15550111223"], "+15550111222", False),
        (["+15550111223", "*"], "+15550111222", True),
        (["+15550111222"], "whatsapp:US.1234567", False),
    ],
)
def test_allow_list(listed: list[str], address: str, passes: bool) -> None:
    settings = IntegrationSettings.model_validate({"allow_from": listed})
    rules = replace(RULES, allow_from=tuple(settings.allow_from))
    stopped = stopped_by(replace(ARRIVAL, address=Address.parse(address)), rules=rules)
    assert stopped == (None if passes else "allow-list")


@pytest.mark.parametrize("word", ["stop", "start", "help"])
def test_a_word_is_answered_by_the_vendor_or_by_us_and_goes_no_further(word: str) -> None:
    told = asked(replace(ARRIVAL, word=word))[-1]
    assert told == ("opt-out", Reply(RULES.texts[word], f"{word} keyword"))
    silent = asked(replace(ARRIVAL, word=word, vendor_answers=True))[-1]
    assert silent == ("opt-out", Silence(f"{word} keyword; Twilio has answered it"))


def test_a_second_stop_is_not_confirmed_again_but_start_is() -> None:
    out = replace(STANDING, opted_out=True)
    assert isinstance(asked(replace(ARRIVAL, word="stop"), out)[-1][1], Silence)
    assert isinstance(asked(replace(ARRIVAL, word="start"), out)[-1][1], Reply)


def test_words_by_the_dozen_are_not_answered() -> None:
    assert isinstance(asked(replace(ARRIVAL, word="help"), replace(STANDING, in_last_minute=20))[-1][1], Silence)


@pytest.mark.parametrize(("count", "passes"), [(0, True), (19, True), (20, False), (21, False)])
def test_rate(count: int, passes: bool) -> None:
    assert stopped_by(standing=replace(STANDING, in_last_minute=count)) == (None if passes else "rate")


@pytest.mark.parametrize(
    ("contact", "account", "passes"),
    [
        (1_999_999, 0, True),
        (2_000_000, 0, False),
        (0, 99_999_999, True),
        (0, 100_000_000, False),
    ],
)
def test_spend_of_a_number_and_of_the_account(contact: int, account: int, passes: bool) -> None:
    standing = replace(STANDING, spent_contact=contact, spent_account=account)
    assert stopped_by(standing=standing) == (None if passes else "spend")


def test_spend_of_the_assistant_and_of_the_session() -> None:
    rules = replace(RULES, session_micros=5, assistant_day_micros=9)
    assert stopped_by(standing=replace(STANDING, spent_session=4, spent_assistant=8), rules=rules) is None
    assert stopped_by(standing=replace(STANDING, spent_session=5), rules=rules) == "spend"
    assert stopped_by(standing=replace(STANDING, spent_assistant=9), rules=rules) == "spend"


def rhythm(*gaps: float, think: float = 1.5) -> tuple[Past, ...]:
    """A conversation, newest first: our last message `gaps[0]` seconds ago, and the person's `gaps` after each of ours."""
    recent: list[Past] = []
    age = 0.0
    for n, gap in enumerate(gaps):
        age += gap
        recent.append(Past("out", f"answer {n}", age))
        age += think
        recent.append(Past("in", f"words {n}", age))
    return tuple(recent)


@pytest.mark.parametrize(
    ("recent", "passes"),
    [
        pytest.param(rhythm(*[0.5] * LOOP_QUICK), False, id="a machine"),
        pytest.param(rhythm(*[2.0] * LOOP_QUICK), False, id="a machine that takes two seconds"),
        pytest.param(rhythm(*[0.5] * (LOOP_QUICK - 1)), True, id="not long enough to tell"),
        pytest.param(rhythm(*[3.0] * 12), True, id="a fast person"),
        pytest.param(rhythm(*[1.0, 1.0, 8.0] * 4), True, id="a person who sends pieces and pauses"),
        pytest.param(tuple(Past("in", f"piece {n}", n * 0.5) for n in range(12)), True, id="a burst of pieces"),
        pytest.param((Past("out", "one", 0.5), Past("out", "two", 0.6)) * 8, True, id="our own parts"),
        pytest.param(rhythm(400.0, *[0.5] * 11), True, id="long ago"),
    ],
)
def test_two_machines_are_told_by_their_rhythm(recent: tuple[Past, ...], passes: bool) -> None:
    assert stopped_by(standing=replace(STANDING, recent=recent)) == (None if passes else "loop")


@pytest.mark.parametrize(
    ("text", "before", "passes"),
    [
        ("Out of office", ["Out of office"] * 3, False),
        ("Out of office", ["Out of office"] * 2, True),
        ("OUT  of office ", [" out of\noffice", "Out Of Office", "out of office"], False),
        ("yes", ["yes", "no", "yes"], True),
        ("", ["", "", ""], True),
        ("I am away. " * 40, ["I am away. " * 40] * 3, False),
    ],
    ids=["four times", "three times", "case and space", "mixed", "pictures without words", "long"],
)
def test_the_same_words_four_times(text: str, before: list[str], passes: bool) -> None:
    # What is remembered of a message is its beginning.
    recent = tuple(Past("in", t[:200], 30.0 * (n + 1)) for n, t in enumerate(before))
    stopped = stopped_by(replace(ARRIVAL, text=text), replace(STANDING, recent=recent))
    assert stopped == (None if passes else "loop")


def test_the_same_words_on_another_day_are_no_loop() -> None:
    recent = tuple(Past("in", ARRIVAL.text, 400.0 + n) for n in range(5))
    assert stopped_by(standing=replace(STANDING, recent=recent)) is None


@pytest.mark.parametrize(("minutes", "passes"), [(0, True), (59, True), (61, False)])
def test_age(minutes: int, passes: bool) -> None:
    arrival = replace(ARRIVAL, at=NOW - timedelta(minutes=minutes), via="backfill")
    assert stopped_by(arrival) == (None if passes else "age")
