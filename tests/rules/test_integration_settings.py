"""What can be set of an integration: bounds, defaults, how senders and opt-outs are named, and that secrets stay so."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from hookflash.assistant.assistant import AssistantConfig
from hookflash.base.errors import Invalid
from hookflash.base.phone import Address, Kind
from hookflash.channels.integration import Credentials, Integration, IntegrationSettings, line_traits, parse_sender

SERVICE = "MG" + "0123456789abcdef" * 2
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def integration(sender: str, service: str | None = None, **settings: Any) -> Integration:
    return Integration(
        id="intg_1",
        account_id="acc_1",
        name="line",
        assistant_id="asst_1",
        sender=sender,
        messaging_service_sid=service,
        credentials=Credentials(account_sid="AC1", auth_tokens=("hush", "retired"), shared_keys={"k": "quiet"}),
        settings=IntegrationSettings.model_validate(settings),
        meta={},
        disabled=False,
        stopped_code=None,
        stopped_why=None,
        backfilled_to=None,
        created_at=NOW,
        updated_at=NOW,
        assistant=AssistantConfig(company="Acme", templates={"en": {"opted_out": "Bye from {company}."}}),
    )


def test_defaults() -> None:
    s = IntegrationSettings()
    assert (s.session_duration_ms, s.burst_ms, s.inline_budget_ms, s.acknowledge_after_ms) == (
        1_800_000,
        1_200,
        0,
        8_000,
    )
    assert s.allow_from == ["*"]


@pytest.mark.parametrize(
    ("field", "value", "good"),
    [
        ("session_duration_ms", 2_592_000_000, True),
        ("session_duration_ms", 2_592_000_001, False),
        ("session_duration_ms", 999, False),
        ("burst_ms", 0, True),
        ("burst_ms", -1, False),
        ("burst_ms", 10_001, False),
        ("inline_budget_ms", 12_000, True),
        ("inline_budget_ms", 14_000, False),
        ("messages_per_minute", 0, False),
        ("contact_day_usd", 0, False),
        ("contact_day_usd", 0.01, True),
        ("contact_day_usd", float("nan"), False),
        ("account_day_usd", float("inf"), False),
        ("stale_after_minutes", 0, False),
        ("allow_from", ["+1 (555) 011"], False),
        ("allow_from", ["everyone"], False),
        ("allow_from", ["*"] * 1001, False),
        ("stop_words", ["x"] * 51, False),
        ("unheard_of", 1, False),
    ],
)
def test_bounds(field: str, value: object, good: bool) -> None:
    if good:
        assert getattr(IntegrationSettings.model_validate({field: value}), field) == value
    else:
        with pytest.raises(ValidationError):
            IntegrationSettings.model_validate({field: value})


def test_numbers_are_written_one_way() -> None:
    given = ["15550111222", " +15550111223 ", "whatsapp:+15550111224", "*"]
    assert IntegrationSettings(allow_from=given).allow_from == [
        "+15550111222",
        "+15550111223",
        "whatsapp:+15550111224",
        "*",
    ]


@pytest.mark.parametrize("sender", ["+15550100200", "whatsapp:+15550100300", SERVICE, "12345"])
def test_senders(sender: str) -> None:
    assert parse_sender(f" {sender} ") == sender


@pytest.mark.parametrize("sender", ["", "hello world, this is not a number", "MG123", "+", "whatsapp:"])
def test_what_is_no_sender_is_refused_with_its_field(sender: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_sender(sender)
    assert refused.value.field == "sender"


@pytest.mark.parametrize(
    ("sender", "service", "kind", "scope", "answers"),
    [
        ("+15550100200", None, Kind.SMS, "+15550100200", True),
        ("+15550100200", SERVICE, Kind.SMS, SERVICE, True),
        (SERVICE, SERVICE, Kind.SMS, SERVICE, True),
        ("whatsapp:+15550100300", None, Kind.WHATSAPP, "whatsapp:+15550100300", False),
    ],
)
def test_who_an_opt_out_concerns_and_who_answers_it(
    sender: str, service: str | None, kind: Kind, scope: str, answers: bool
) -> None:
    made = integration(sender, service)
    assert (made.kind, made.opt_out_scope, made.twilio_answers_keywords(kind)) == (kind, scope, answers)
    assert (
        integration(sender, service, twilio_answers_keywords=not answers).twilio_answers_keywords(kind) is not answers
    )


def test_a_word_by_whatsapp_is_ours_to_answer_also_at_a_service_that_has_both() -> None:
    assert integration(SERVICE, SERVICE).twilio_answers_keywords(Kind.WHATSAPP) is False


def test_rules_are_in_micro_dollars_seconds_and_the_persons_language() -> None:
    made = integration("+15550100200", contact_day_usd=0.05, account_day_usd=1.5, stale_after_minutes=10)
    rules = made.rules("en")
    assert (rules.contact_day_micros, rules.account_day_micros, rules.stale_after) == (50_000, 1_500_000, 600.0)
    assert rules.texts["stop"] == "Bye from Acme."
    assert "STOP" in made.rules("es").texts["help"]
    assert made.rules("es").texts["help"] != rules.texts["help"]


def test_a_line_has_a_budget_only_where_segments_cost() -> None:
    assert line_traits(Address.parse("+15550100200"), 3).segment_budget == 3
    assert line_traits(Address.parse("whatsapp:+15550100300"), 3).segment_budget is None


def test_credentials_never_print() -> None:
    made = integration("+15550100200")
    for written in (repr(made), str(made.credentials), repr(made.auth_tokens), f"{made.shared_keys}"):
        assert "hush" not in written
        assert "quiet" not in written
        assert "retired" not in written
    assert [t.get_secret_value() for t in made.auth_tokens] == ["hush", "retired"]
