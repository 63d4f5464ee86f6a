"""The gates of a text message, in their order. Each is a pure question to what was known when the message arrived."""

from datetime import datetime

from hookflash.base.phone import Kind
from hookflash.conversation.intake import Arrival, IntakeGate, Rules, Standing
from hookflash.conversation.turn import Pass, Reply, Silence, Verdict

LOOP_SAME = 4
LOOP_QUICK = 6
LOOP_WINDOW = 300.0
REMEMBERED_CHARS = 200


def known(arrival: Arrival, standing: Standing, rules: Rules, now: datetime) -> Verdict:
    return Silence("a duplicate of a message that we have") if standing.seen else Pass()


def enabled(arrival: Arrival, standing: Standing, rules: Rules, now: datetime) -> Verdict:
    return Silence("the integration is disabled") if rules.disabled else Pass()


def allowed(arrival: Arrival, standing: Standing, rules: Rules, now: datetime) -> Verdict:
    """An empty list denies everybody, `*` allows everybody; a number allows its WhatsApp address too."""
    listed = rules.allow_from
    if "*" in listed or str(arrival.address) in listed or arrival.address.value in listed:
        return Pass()
    return Silence("the sender is not on the allow-list")


def not_opted_out(arrival: Arrival, standing: Standing, rules: Rules, now: datetime) -> Verdict:
    """Opt-out words end here: answered at most once, by the vendor or by us, and never by the model."""
    if arrival.word is not None:
        if arrival.vendor_answers:
            return Silence(f"{arrival.word} keyword; Twilio has answered it")
        if arrival.word == "stop" and standing.opted_out:
            return Silence("stop keyword again; it was confirmed before")
        too_many = within_rate(arrival, standing, rules, now)
        return (
            too_many if isinstance(too_many, Silence) else Reply(rules.texts[arrival.word], f"{arrival.word} keyword")
        )
    return Silence("the sender has opted out") if standing.opted_out else Pass()


def no_human(arrival: Arrival, standing: Standing, rules: Rules, now: datetime) -> Verdict:
    return Silence("a person has taken over") if standing.human_has_it else Pass()


def within_rate(arrival: Arrival, standing: Standing, rules: Rules, now: datetime) -> Verdict:
    if standing.in_last_minute >= rules.messages_per_minute:
        return Silence(f"over {rules.messages_per_minute} messages a minute")
    return Pass()


def within_spend(arrival: Arrival, standing: Standing, rules: Rules, now: datetime) -> Verdict:
    if standing.spent_contact >= rules.contact_day_micros:
        return Silence("over the spend limit of this number for today")
    if standing.spent_account >= rules.account_day_micros:
        return Silence("over the spend limit of the account for today")
    if rules.assistant_day_micros is not None and standing.spent_assistant >= rules.assistant_day_micros:
        return Silence("over the spend limit of the assistant for today")
    if rules.session_micros is not None and standing.spent_session >= rules.session_micros:
        return Silence("over the spend limit of the session")
    return Pass()


def no_loop(arrival: Arrival, standing: Standing, rules: Rules, now: datetime) -> Verdict:
    """Two machines talking: the same words again and again, or answers that come faster than a person types.

    Whoever uses the API is one that is meant to.
    """
    if arrival.sender.kind is Kind.WEB:
        return Pass()
    recent = [p for p in standing.recent if p.age <= LOOP_WINDOW]
    words = _words(arrival.text)
    same = sum(_words(p.text) == words for p in recent if p.direction == "in")
    if words and same >= LOOP_SAME - 1:
        return Silence("the same words over and over: two machines may be talking")
    # How many of our messages in a row were answered so fast, back to the first that was not: a person pauses.
    quick = 0
    follows: float | None = 0.0
    for past in recent:
        if past.direction == "in":
            follows = past.age
        elif follows is not None:
            if past.age - follows > 2.0:
                break
            quick += 1
            follows = None
    if quick >= LOOP_QUICK:
        return Silence("answers within two seconds, again and again: two machines may be talking")
    return Pass()


def _words(text: str) -> str:
    return " ".join(text[:REMEMBERED_CHARS].casefold().split())


def fresh(arrival: Arrival, standing: Standing, rules: Rules, now: datetime) -> Verdict:
    """Of messages found later: one that is too old is kept, not answered."""
    age = (now - arrival.at).total_seconds()
    return Silence("stale: found too late to answer") if age > rules.stale_after else Pass()


GATES: tuple[tuple[str, IntakeGate], ...] = (
    ("known", known),
    ("enabled", enabled),
    ("allow-list", allowed),
    ("opt-out", not_opted_out),
    ("human", no_human),
    ("rate", within_rate),
    ("spend", within_spend),
    ("loop", no_loop),
    ("age", fresh),
)
