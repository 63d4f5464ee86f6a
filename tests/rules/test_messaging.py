"""Messaging webhooks: real payloads (numbers and names neutral), what makes one malformed, and the ladder of statuses."""

from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookflash.base.errors import Invalid
from hookflash.base.phone import Address, Kind
from hookflash.twilio.form import parse_form
from hookflash.twilio.messaging import (
    Delivery,
    InboundMedia,
    InboundMessage,
    Location,
    Status,
    StatusUpdate,
    advance,
    parse_inbound,
    parse_status,
    parse_webhook,
)

SM, MM, AC = "SM" + "0" * 31 + "1", "MM" + "0" * 31 + "1", "AC" + "0" * 31 + "1"

SMS = {
    "ToCountry": "US", "ToState": "MI", "SmsMessageSid": SM, "NumMedia": "0", "ToCity": "COLEMAN", "FromZip": "22036",
    "SmsSid": SM, "FromState": "VA", "SmsStatus": "received", "FromCity": "CENTREVILLE", "Body": "It's working!!!",
    "FromCountry": "US", "To": "+15550000002", "ToZip": "48612", "NumSegments": "1", "ReferralNumMedia": "0",
    "MessageSid": SM, "AccountSid": AC, "From": "+15550000001", "ApiVersion": "2010-04-01",
}  # fmt: skip
WHATSAPP = {
    "SmsMessageSid": SM, "NumMedia": "0", "ProfileName": "Test User", "SmsSid": SM, "WaId": "15550000001",
    "SmsStatus": "received", "Body": "Hi", "To": "whatsapp:+15550000002", "NumSegments": "1", "ReferralNumMedia": "0",
    "MessageSid": SM, "AccountSid": AC, "From": "whatsapp:+15550000001", "ApiVersion": "2010-04-01",
}  # fmt: skip
PICTURE_URL = f"https://api.twilio.com/2010-04-01/Accounts/{AC}/Messages/{MM}/Media/ME{'0' * 31}1"
PICTURE = WHATSAPP | {
    "MediaContentType0": "image/jpeg", "SmsMessageSid": MM, "NumMedia": "1", "SmsSid": MM, "Body": "", "MessageSid": MM,
    "MediaUrl0": PICTURE_URL,
}  # fmt: skip
BUTTON = WHATSAPP | {
    "OriginalRepliedMessageSender": "whatsapp:+15550000002", "ExternalUserId": "whatsapp:ID.0000000000000001",
    "FrequentlyForwarded": "false", "MessageType": "interactive", "Body": "Konfirmasi", "Forwarded": "false",
    "ButtonText": "Konfirmasi", "ButtonPayload": "{verifyEmail:user@example.com}", "OriginalRepliedMessageSid": MM,
    "ChannelMetadata": '{"type":"whatsapp","data":{"context":{"ButtonText":"Konfirmasi"}}}',
}  # fmt: skip
CALL_STATUS = {
    "Called": "+15550000003", "Direction": "outbound-api", "CallSid": "CA" + "0" * 31 + "1", "CallStatus": "completed",
    "CallbackSource": "call-progress-events", "AccountSid": AC, "To": "+15550000003", "From": "+15550000002",
    "AnsweredBy": "human", "ApiVersion": "2010-04-01",
}  # fmt: skip
DELIVERED = {
    "SmsSid": SM, "SmsStatus": "delivered", "MessageStatus": "delivered", "To": "+15550000001", "MessageSid": SM,
    "AccountSid": AC, "From": "+15550000002", "ApiVersion": "2010-04-01", "RawDlrDoneDate": "2609181214",
}  # fmt: skip


def form(fields: dict[str, str]) -> dict[str, list[str]]:
    return {name: [value] for name, value in fields.items()}


def inbound(fields: dict[str, str]) -> InboundMessage:
    message = parse_webhook(form(fields))
    assert isinstance(message, InboundMessage)
    return message


def test_an_sms() -> None:
    message = inbound(SMS)
    assert (message.sid, message.account_sid) == (SM, AC)
    assert message.sender == Address(Kind.SMS, "+15550000001")
    assert message.to == Address(Kind.SMS, "+15550000002")
    assert message.text == message.body == "It's working!!!"
    assert (message.media, message.num_segments, message.messaging_service_sid) == ((), 1, None)
    assert message.raw == form(SMS)


def test_the_same_sms_from_its_raw_body() -> None:
    raw = (
        f"ToCountry=US&SmsMessageSid={SM}&NumMedia=0&FromZip=&SmsSid={SM}&SmsStatus=received&Body=It%27s+working%21%21%21"
        f"&To=%2B15550000002&NumSegments=1&MessageSid={SM}&AccountSid={AC}&From=%2B15550000001&ApiVersion=2010-04-01"
    )
    message = parse_inbound(parse_form(raw.encode()))
    assert (message.text, message.sender.value, message.raw["FromZip"]) == ("It's working!!!", "+15550000001", [""])


def test_a_whatsapp_text() -> None:
    message = inbound(WHATSAPP)
    assert message.sender == Address(Kind.WHATSAPP, "+15550000001")
    assert (message.text, message.profile_name, message.wa_id) == ("Hi", "Test User", "15550000001")


def test_a_picture_without_words_is_a_message() -> None:
    message = inbound(PICTURE)
    assert message.sid == MM
    assert message.text == ""
    assert message.media == (InboundMedia(PICTURE_URL, "image/jpeg"),)


def test_a_pressed_button_is_text() -> None:
    message = inbound(BUTTON)
    assert (message.text, message.button_payload) == ("Konfirmasi", "{verifyEmail:user@example.com}")
    assert message.replied_to_sid == MM
    assert message.external_user_id == Address(Kind.WHATSAPP, "ID.0000000000000001")
    assert message.sender == Address(Kind.WHATSAPP, "+15550000001")
    assert inbound(BUTTON | {"Body": " "}).text == "Konfirmasi"


def test_a_chosen_list_item_is_text() -> None:
    message = inbound(WHATSAPP | {"Body": "", "ListId": "row_2", "ListTitle": "Opening hours"})
    assert (message.text, message.list_id, message.list_title) == ("Opening hours", "row_2", "Opening hours")


def test_a_person_who_shows_no_number() -> None:
    hidden = {k: v for k, v in WHATSAPP.items() if k != "WaId"} | {"ExternalUserId": "whatsapp:US.123456"}
    wanted = Address(Kind.WHATSAPP, "US.123456")
    assert inbound(hidden | {"From": "whatsapp:US.123456"}).sender == wanted
    assert inbound(hidden | {"From": ""}).sender == wanted
    assert inbound(hidden | {"From": "", "ExternalUserId": "US.123456"}).sender == wanted
    assert inbound(WHATSAPP | {"ExternalUserId": "?!"}).external_user_id is None


def test_a_shared_place_is_text() -> None:
    place = {"Body": "", "Latitude": "12.9716", "Longitude": "77.5946", "Label": "Shop", "Address": "MG Road"}
    message = inbound(WHATSAPP | place)
    assert message.location == Location(12.9716, 77.5946, "Shop", "MG Road")
    assert message.text == "Location: Shop, MG Road (12.9716, 77.5946)"


def test_the_advertisement_that_led_here() -> None:
    message = inbound(WHATSAPP | {"ReferralHeadline": "Sale", "ReferralSourceId": "42", "ReferralCtwaClid": "c"})
    assert message.referral is not None
    assert (message.referral.headline, message.referral.source_id, message.referral.click_id) == ("Sale", "42", "c")
    assert inbound(WHATSAPP).referral is None


def test_opt_out_service_and_unknown_fields_are_kept() -> None:
    message = inbound(SMS | {"OptOutType": "STOP", "MessagingServiceSid": "MG1", "BrandNewField": "x"})
    assert (message.opt_out_type, message.messaging_service_sid) == ("STOP", "MG1")
    assert message.raw["BrandNewField"] == ["x"]


def test_several_attachments_in_order() -> None:
    more = {f"MediaUrl{n}": f"https://api.twilio.com/{n}" for n in range(3)}
    message = inbound(PICTURE | more | {"NumMedia": "3"})
    assert [m.url for m in message.media] == list(more.values())
    assert message.media[2].content_type == "application/octet-stream"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"MessageSid": ""}, "MessageSid"),
        ({"MessageSid": "SM1"}, "MessageSid"),
        ({"MessageSid": SM + "/../x"}, "MessageSid"),
        ({"AccountSid": "AC!"}, "AccountSid"),
        ({"From": ""}, "From"),
        ({"From": "messenger:1"}, "From"),
        ({"To": "whatsapp:"}, "To"),
        ({"NumMedia": "x"}, "NumMedia"),
        ({"NumMedia": "-1"}, "NumMedia"),
        ({"NumMedia": "999999999999"}, "NumMedia"),
        ({"NumMedia": "1"}, "MediaUrl0"),
        ({"NumMedia": "1", "MediaUrl0": "file:///etc/passwd"}, "MediaUrl0"),
        ({"NumSegments": "two"}, "NumSegments"),
        ({"Latitude": "91", "Longitude": "0"}, "Latitude"),
        ({"Latitude": "1", "Longitude": "nan"}, "Longitude"),
    ],
)
def test_malformed_messages_name_the_field(change: dict[str, str], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_webhook(form(SMS | change))
    assert caught.value.field == field


def test_a_delivery_callback_is_no_message() -> None:
    update = parse_webhook(form(DELIVERED))
    assert isinstance(update, StatusUpdate)
    assert (update.sid, update.status, update.error_code, update.read) == (SM, Status.DELIVERED, None, False)
    assert update.to == "+15550000001"
    with_media = parse_webhook(form(DELIVERED | {"NumMedia": "0"}))
    assert isinstance(with_media, StatusUpdate)


def test_a_message_without_status_is_known_by_its_media_count() -> None:
    bare = {k: v for k, v in PICTURE.items() if k != "SmsStatus"}
    assert inbound(bare).media


def test_a_failure_tells_its_reason() -> None:
    update = parse_status(
        form(
            DELIVERED | {"MessageStatus": "failed", "ErrorCode": "63016", "ChannelStatusMessage": "Outside the window"}
        )
    )
    assert (update.status, update.error_code, update.error_message) == (Status.FAILED, 63016, "Outside the window")


def test_a_read_receipt() -> None:
    for change in ({"MessageStatus": "read"}, {"MessageStatus": "delivered", "EventType": "READ"}):
        update = parse_webhook(form(DELIVERED | change))
        assert isinstance(update, StatusUpdate)
        assert update.read


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        (DELIVERED | {"MessageStatus": "teleported"}, "MessageStatus"),
        (DELIVERED | {"ErrorCode": "no"}, "ErrorCode"),
        (DELIVERED | {"MessageSid": "x"}, "MessageSid"),
        (CALL_STATUS, "MessageStatus"),
        ({}, "MessageStatus"),
    ],
)
def test_malformed_callbacks_name_the_field(fields: dict[str, str], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_webhook(form(fields))
    assert caught.value.field == field


@given(st.dictionaries(st.sampled_from([*BUTTON, *DELIVERED, "Latitude", "MediaUrl0"]), st.lists(st.text())))
def test_any_form_is_read_or_refused(fields: dict[str, list[str]]) -> None:
    try:
        result = parse_webhook(fields)
    except Invalid as refused:
        assert refused.field  # noqa: PT017
    else:
        assert result.raw == fields


LIVES = [
    [Status.ACCEPTED, Status.QUEUED, Status.SENDING, Status.SENT, Status.DELIVERED, Status.READ],
    [Status.SCHEDULED, Status.QUEUED, Status.SENDING, Status.SENT, Status.UNDELIVERED],
    [Status.ACCEPTED, Status.QUEUED, Status.FAILED],
    [Status.QUEUED, Status.SENDING, Status.SENT, Status.FAILED],
    [Status.SCHEDULED, Status.ACCEPTED, Status.CANCELED],
    [Status.SENT, Status.PARTIALLY_DELIVERED, Status.DELIVERED],
    [Status.SENT, Status.UNDELIVERED, Status.DELIVERED, Status.READ],
]


@pytest.mark.parametrize("life", LIVES, ids="-".join)
def test_every_order_with_every_repeat_ends_the_same_and_never_regresses(life: list[Status]) -> None:
    for order in permutations(life):
        for repeated in range(len(order)):
            seen = [*order[: repeated + 1], *order]
            current = seen[0]
            for status in seen:
                before, current = current, advance(current, status)
                assert advance(before, current) is current
                assert life.index(current) >= life.index(before)
            assert current is life[-1]


def test_the_ladder_for_every_pair() -> None:
    for one, other in product(Status, Status):
        assert advance(one, other) is advance(other, one)
        assert advance(advance(one, other), one) is advance(one, other)
    for status in Status:
        assert advance(Status.FAILED, status) is Status.FAILED
        assert advance(status, Status.CANCELED) in (Status.CANCELED, Status.FAILED)
        assert advance(Status.DELIVERED, status) is status or advance(Status.DELIVERED, status) is Status.DELIVERED
    assert {s for s in Status if s.settled} == {
        Status.UNDELIVERED, Status.RECEIVED, Status.DELIVERED, Status.READ, Status.CANCELED, Status.FAILED
    }  # fmt: skip


def test_the_first_reason_is_kept_in_every_order() -> None:
    updates = [
        parse_status(form(DELIVERED | {"MessageStatus": status, "ErrorCode": code}))
        for status, code in [("sent", ""), ("undelivered", "30003"), ("failed", "30008"), ("sent", "")]
    ]
    for order in permutations(updates):
        delivery = Delivery(Status.QUEUED)
        for update in order:
            delivery = delivery.after(update)
        first = next(u for u in order if u.error_code)
        assert (delivery.status, delivery.error_code) == (Status.FAILED, first.error_code)
