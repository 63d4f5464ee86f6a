"""Signatures: Twilio's own vectors, every kind of forgery, and how the public URL is rebuilt.

The first vectors are those of twilio-python, tests/unit/test_request_validator.py (MIT License); the others were computed
with twilio-python 9.13.0.
"""

import hmac
import string
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookflash.base.secret import Secret
from hookflash.twilio.form import FORM_TYPE, form_pairs, parse_form
from hookflash.twilio.signature import (
    SETTINGS_HEADER,
    SIGNATURE_HEADER,
    Refused,
    Valid,
    WebhookKeys,
    Why,
    public_url,
    sign,
    verify,
    with_body_hash,
)

TOKEN = Secret("12345")
KEYS = WebhookKeys(auth_tokens=(TOKEN,))
SHARED = WebhookKeys(shared_keys={"webhooks_sharedkey_1": TOKEN})
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"


@dataclass(frozen=True)
class Vector:
    name: str
    url: str
    form: list[tuple[str, str]]
    signature: str
    algorithm: str = "HMAC_SHA1"
    json: bytes = b""


BASE_FORM = [
    ("CallSid", "CA1234567890ABCDE"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
    ("Caller", "+14158675309"),
]
VECTORS = [
    Vector("form POST, base", "https://mycompany.com/myapp.php?foo=1&bar=2", BASE_FORM, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
    Vector(
        "https with :443 signed",
        "https://mycompany.com:443/myapp.php?foo=1&bar=2",
        BASE_FORM,
        "kvajT1Ptam85bY51eRf/AJRuM3w=",
    ),
    Vector(
        "http with :80 signed",
        "http://mycompany.com:80/myapp.php?foo=1&bar=2",
        BASE_FORM,
        "0ZXoZLH/DfblKGATFgpif+LLRf4=",
    ),
    Vector("http :1234", "http://mycompany.com:1234/myapp.php?foo=1&bar=2", BASE_FORM, "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
    Vector(
        "JSON body with bodySHA256",
        "https://mycompany.com/myapp.php?foo=1&bar=2&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620",
        [],
        "a9nBmqA0ju/hNViExpshrM61xv4=",
        json=b'{"property": "value", "boolean": true}',
    ),
    Vector(
        "repeated parameter: distinct values, sorted",
        "https://mycompany.com/myapp.php?foo=1&bar=2",
        [("Sid", "CA123"), ("SidAccount", "AC123"), ("Digits", "5678"), ("Digits", "1234"), ("Digits", "1234")],
        "IK+Dwps556ElfBT0I3Rgjkr1wJU=",
    ),
    Vector("GET, no form", "https://mycompany.com/myapp.php?foo=1&bar=2", [], "zYQTYrRWXE7LtzbG4PfP7/bkkGo="),
    Vector("wss handshake", "wss://mycompany.com/media", [], "okykUWKkAOgQseVjzERZh4soLeU="),
    Vector(
        "blank value + devanagari + emoji",
        "https://mycompany.com/myapp.php?foo=1&bar=2",
        [("FromZip", ""), ("Body", "नमस्ते 👋")],
        "ujp8JfPxgtwkJNIf9yaUM8hy/uE=",
    ),
    Vector(
        "Gather speech, comma/quote/plus",
        "https://mycompany.com/myapp.php?foo=1&bar=2",
        [("SpeechResult", "I'd like 2 + 2, please"), ("Confidence", "0.9128")],
        "vPj+8nt5mDzKvAjikV9fSC9CceU=",
    ),
    Vector(
        "capture call_status_completed_outbound_amd.json",
        "https://bot.example.com/hooks/twilio/ep_1?tenant=acme",
        [
            ("Called", "+15550000003"),
            ("ToState", "SP"),
            ("CallerCountry", "US"),
            ("Direction", "outbound-api"),
            ("Timestamp", "Sun, 25 Mar 2018 09:53:19 +0000"),
            ("CallbackSource", "call-progress-events"),
            ("CallerState", "NY"),
            ("ToZip", ""),
            ("SequenceNumber", "3"),
            ("To", "+15550000003"),
            ("CallSid", "CA00000000000000000000000000000001"),
            ("ToCountry", "BR"),
            ("CallerZip", "10004"),
            ("CalledZip", ""),
            ("ApiVersion", "2010-04-01"),
            ("CallStatus", "completed"),
            ("CalledCity", "São Paulo"),
            ("Duration", "1"),
            ("From", "+15550000002"),
            ("CallDuration", "49"),
            ("AccountSid", "AC00000000000000000000000000000001"),
            ("CalledCountry", "BR"),
            ("CallerCity", "NEW YORK"),
            ("ToCity", "São Paulo"),
            ("FromCountry", "US"),
            ("Caller", "+15550000002"),
            ("FromCity", "NEW YORK"),
            ("CalledState", "SP"),
            ("FromZip", "10004"),
            ("AnsweredBy", "human"),
            ("FromState", "NY"),
        ],
        "FtsaEpKqpL/teTy2kl5DKYeaOCg=",
    ),
    Vector(
        "capture sms_inbound_us.json",
        "https://bot.example.com/hooks/twilio/ep_1?tenant=acme",
        [
            ("ToCountry", "US"),
            ("ToState", "MI"),
            ("SmsMessageSid", "SM00000000000000000000000000000001"),
            ("NumMedia", "0"),
            ("ToCity", "COLEMAN"),
            ("FromZip", "22036"),
            ("SmsSid", "SM00000000000000000000000000000001"),
            ("FromState", "VA"),
            ("SmsStatus", "received"),
            ("FromCity", "CENTREVILLE"),
            ("Body", "It's working!!!"),
            ("FromCountry", "US"),
            ("To", "+15550000002"),
            ("ToZip", "48612"),
            ("NumSegments", "1"),
            ("ReferralNumMedia", "0"),
            ("MessageSid", "SM00000000000000000000000000000001"),
            ("AccountSid", "AC00000000000000000000000000000001"),
            ("From", "+15550000001"),
            ("ApiVersion", "2010-04-01"),
        ],
        "oJ6OHiIDCTWDDMUGwzDHBc6oIwg=",
    ),
    Vector(
        "capture whatsapp_inbound_button.json",
        "https://bot.example.com/hooks/twilio/ep_1?tenant=acme",
        [
            ("OriginalRepliedMessageSender", "whatsapp:+15550000002"),
            ("ExternalUserId", "whatsapp:ID.0000000000000001"),
            ("SmsMessageSid", "SM00000000000000000000000000000001"),
            ("FrequentlyForwarded", "false"),
            ("NumMedia", "0"),
            ("ProfileName", "Test User"),
            ("MessageType", "interactive"),
            ("SmsSid", "SM00000000000000000000000000000001"),
            ("WaId", "15550000001"),
            ("SmsStatus", "received"),
            ("Body", "Konfirmasi"),
            ("Forwarded", "false"),
            ("ButtonText", "Konfirmasi"),
            ("To", "whatsapp:+15550000002"),
            ("ButtonPayload", "{verifyEmail:user@example.com}"),
            ("NumSegments", "1"),
            ("ReferralNumMedia", "0"),
            ("MessageSid", "SM00000000000000000000000000000001"),
            ("AccountSid", "AC00000000000000000000000000000001"),
            ("OriginalRepliedMessageSid", "MM00000000000000000000000000000001"),
            (
                "ChannelMetadata",
                (
                    '{"type":"whatsapp","data":{"context":{"ButtonText":"Konfirmasi","Forwarded":"false",'
                    '"FrequentlyForwarded":"false","ProfileName":"Test User","WaId":"15550000001"}}}'
                ),
            ),
            ("From", "whatsapp:+15550000001"),
            ("ApiVersion", "2010-04-01"),
        ],
        "P6Vqcjg4fB9TUzzVZse8z9Ha5fE=",
    ),
    Vector(
        "capture whatsapp_inbound_image.json",
        "https://bot.example.com/hooks/twilio/ep_1?tenant=acme",
        [
            ("MediaContentType0", "image/jpeg"),
            ("SmsMessageSid", "MM00000000000000000000000000000001"),
            ("NumMedia", "1"),
            ("ProfileName", "Test User"),
            ("SmsSid", "MM00000000000000000000000000000001"),
            ("WaId", "15550000001"),
            ("SmsStatus", "received"),
            ("Body", ""),
            ("To", "whatsapp:+15550000002"),
            ("NumSegments", "1"),
            ("ReferralNumMedia", "0"),
            ("MessageSid", "MM00000000000000000000000000000001"),
            ("AccountSid", "AC00000000000000000000000000000001"),
            ("From", "whatsapp:+15550000001"),
            (
                "MediaUrl0",
                "https://api.twilio.com/2010-04-01/Accounts/AC00000000000000000000000000000001/Messages/MM00000000000000000000000000000001/Media/ME00000000000000000000000000000001",
            ),
            ("ApiVersion", "2010-04-01"),
        ],
        "27XzNUiBhWe7zE/JZ0bM51xgiDE=",
    ),
    Vector(
        "capture whatsapp_inbound_text.json",
        "https://bot.example.com/hooks/twilio/ep_1?tenant=acme",
        [
            ("SmsMessageSid", "SM00000000000000000000000000000001"),
            ("NumMedia", "0"),
            ("ProfileName", "Test User"),
            ("SmsSid", "SM00000000000000000000000000000001"),
            ("WaId", "15550000001"),
            ("SmsStatus", "received"),
            ("Body", "Hi"),
            ("To", "whatsapp:+15550000002"),
            ("NumSegments", "1"),
            ("ReferralNumMedia", "0"),
            ("MessageSid", "SM00000000000000000000000000000001"),
            ("AccountSid", "AC00000000000000000000000000000001"),
            ("From", "whatsapp:+15550000001"),
            ("ApiVersion", "2010-04-01"),
        ],
        "+W3ltM59aAWxbScbrEQiQ8T9VvI=",
    ),
    Vector(
        "SHA256 SharedKey: form",
        "https://mycompany.com/myapp.php?foo=1&bar=2",
        BASE_FORM,
        "033hgUJA9M/hXIZsYjwkerEP/DBm35nEri5FhCYjA5s=",
        algorithm="HMAC_SHA256",
    ),
    Vector(
        "SHA256 SharedKey: GET",
        "https://mycompany.com/myapp.php?foo=1&bar=2",
        [],
        "M5sDn7HQLZ2oOEt/pdNtlwOrdCfzOTE0f6NWiCCM6Tg=",
        algorithm="HMAC_SHA256",
    ),
    Vector(
        "SHA256 SharedKey: JSON body URL",
        "https://mycompany.com/myapp.php?foo=1&bar=2&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620",
        [],
        "+UOCWf84gdgo/5Hpg4m5/EgKnJA2/TbOw5sPNVr3bPk=",
        algorithm="HMAC_SHA256",
        json=b'{"property": "value", "boolean": true}',
    ),
]


def ask(
    url: str,
    headers: Mapping[str, str],
    body: bytes = b"",
    *,
    method: str = "POST",
    content_type: str = FORM_TYPE,
    keys: WebhookKeys = KEYS,
) -> Valid | Refused:
    return verify(method=method, url=url, headers={**headers, "Content-Type": content_type}, body=body, keys=keys)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v.name)
def test_every_vector_is_accepted(vector: Vector) -> None:
    headers = {SIGNATURE_HEADER: vector.signature}
    keys = KEYS
    if vector.algorithm != "HMAC_SHA1":
        headers[SETTINGS_HEADER] = f"key=webhooks_sharedkey_1,algorithm={vector.algorithm}"
        keys = SHARED
    body, content_type = (
        (vector.json, "application/json") if vector.json else (urlencode(vector.form).encode(), FORM_TYPE)
    )
    method = "POST" if body else "GET"
    result = ask(vector.url, headers, body, method=method, content_type=content_type, keys=keys)
    assert result == Valid("auth_token" if keys is KEYS else "webhooks_sharedkey_1")
    stranger = WebhookKeys((Secret("54321"),), {k: Secret("54321") for k in keys.shared_keys})
    wrong = ask(vector.url, headers, body, method=method, content_type=content_type, keys=stranger)
    assert wrong == Refused(Why.WRONG_SIGNATURE) or wrong == Refused(Why.DOWNGRADE)


@pytest.mark.parametrize("vector", [v for v in VECTORS if not v.json], ids=lambda v: v.name)
def test_what_we_sign_is_what_twilio_signs(vector: Vector) -> None:
    shared = None if vector.algorithm == "HMAC_SHA1" else "k"
    signed = sign(vector.url, TOKEN, form=vector.form, shared_key_id=shared, algorithm=vector.algorithm)
    assert signed[SIGNATURE_HEADER] == vector.signature


def test_the_signature_may_be_made_with_or_without_the_port() -> None:
    body = urlencode(BASE_FORM).encode()
    for url in (
        "https://mycompany.com:1234/myapp.php?foo=1&bar=2",
        URL,
        "https://mycompany.com:443/myapp.php?foo=1&bar=2",
    ):
        assert ask(url, {SIGNATURE_HEADER: "RSOYDt4T1cUTdK1PDd93/VVr8B8="}, body) == Valid("auth_token")
    assert ask(URL, {SIGNATURE_HEADER: "kvajT1Ptam85bY51eRf/AJRuM3w="}, body) == Valid("auth_token")


@pytest.mark.parametrize(
    ("without", "with_port"),
    [
        ("https://user:pass@host.example/a?b=c:d", "https://user:pass@host.example:443/a?b=c:d"),
        ("https://[2001:db8::1]/a", "https://[2001:db8::1]:443/a"),
        ("https://u:p@[::1]/a", "https://u:p@[::1]:443/a"),
        ("wss://host.example/media", "wss://host.example:443/media"),
        ("http://host.example", "http://host.example:80"),
    ],
)
def test_ports_with_userinfo_ipv6_and_sockets(without: str, with_port: str) -> None:
    for signed_url in (without, with_port):
        for our_url in (without, with_port):
            assert ask(our_url, sign(signed_url, TOKEN), method="GET") == Valid("auth_token")


def test_userinfo_is_part_of_what_is_signed() -> None:
    headers = sign("https://user:pass@host.example/a", TOKEN)
    assert ask("https://host.example/a", headers, method="GET") == Refused(Why.WRONG_SIGNATURE)


def test_header_names_come_in_any_case() -> None:
    signature = sign(URL, TOKEN)[SIGNATURE_HEADER]
    for name in ("x-twilio-signature", "X-TWILIO-SIGNATURE", "X-Twilio-Signature"):
        assert ask(URL, {name: signature}, method="GET") == Valid("auth_token")


def test_several_tokens_during_a_rotation() -> None:
    keys = WebhookKeys(auth_tokens=(Secret("new"), Secret("old")))
    assert ask(URL, sign(URL, Secret("new")), method="GET", keys=keys) == Valid("auth_token")
    assert ask(URL, sign(URL, Secret("old")), method="GET", keys=keys) == Valid("auth_token_2")
    assert ask(URL, sign(URL, Secret("older")), method="GET", keys=keys) == Refused(Why.WRONG_SIGNATURE)


def test_an_empty_secret_is_no_secret() -> None:
    headers = sign(URL, Secret(""))
    assert ask(URL, headers, method="GET", keys=WebhookKeys((Secret(""),))) == Refused(Why.UNCONFIGURED)
    assert ask(URL, headers, method="GET", keys=WebhookKeys()) == Refused(Why.UNCONFIGURED)
    shared = sign(URL, Secret(""), shared_key_id="k")
    assert ask(URL, shared, method="GET", keys=WebhookKeys((TOKEN,), {"k": Secret("")})) == Refused(
        Why.UNKNOWN_SHARED_KEY
    )


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("key=other,algorithm=HMAC_SHA256", Why.UNKNOWN_SHARED_KEY),
        ("key=k,algorithm=HMAC_MD5", Why.UNSUPPORTED_ALGORITHM),
        ("key=k,algorithm=none", Why.UNSUPPORTED_ALGORITHM),
        ("algorithm=HMAC_SHA1", Why.BAD_SETTINGS),
        ("key=k,key=other,algorithm=HMAC_SHA1", Why.BAD_SETTINGS),
        ("key=k,algorithm=HMAC_SHA1,algorithm=HMAC_SHA256", Why.BAD_SETTINGS),
        ("key=", Why.BAD_SETTINGS),
        (",,,", Why.BAD_SETTINGS),
        ("nonsense", Why.BAD_SETTINGS),
    ],
)
def test_settings_that_are_refused(header: str, why: Why) -> None:
    headers = sign(URL, Secret("s"), shared_key_id="k") | {SETTINGS_HEADER: header}
    assert ask(URL, headers, method="GET", keys=WebhookKeys((Secret("s"),), {"k": Secret("s")})) == Refused(why)


def test_shared_keys_with_either_algorithm() -> None:
    keys = WebhookKeys(shared_keys={"k": Secret("s"), "l": Secret("t")})
    for algorithm in ("HMAC_SHA1", "HMAC_SHA256"):
        headers = sign(URL, Secret("t"), shared_key_id="l", algorithm=algorithm)
        assert ask(URL, headers, method="GET", keys=keys) == Valid("l")
        wrong = sign(URL, Secret("t"), shared_key_id="k", algorithm=algorithm)
        assert ask(URL, wrong, method="GET", keys=keys) == Refused(Why.WRONG_SIGNATURE)
    bare = sign(URL, Secret("s"), shared_key_id="k") | {SETTINGS_HEADER: "key=k"}
    assert ask(URL, bare, method="GET", keys=keys) == Valid("k")


def test_the_auth_token_is_refused_where_shared_keys_are_configured() -> None:
    keys = WebhookKeys(auth_tokens=(TOKEN,), shared_keys={"k": Secret("s")})
    assert ask(URL, sign(URL, TOKEN), method="GET", keys=keys) == Refused(Why.DOWNGRADE)


def test_a_body_that_is_no_form_needs_its_hash_in_the_url() -> None:
    body = b'{"property": "value", "boolean": true}'
    url = with_body_hash(URL, body)
    assert url.endswith("&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620")
    assert with_body_hash("https://h.example/a#rc=2", b"").startswith("https://h.example/a?bodySHA256=")
    as_json = "application/json"
    assert ask(url, sign(url, TOKEN), body, content_type=as_json) == Valid("auth_token")
    assert ask(url, sign(url, TOKEN), body + b" ", content_type=as_json) == Refused(Why.WRONG_BODY_HASH)
    assert ask(url, sign(url, TOKEN), b"", content_type=as_json) == Refused(Why.WRONG_BODY_HASH)
    assert ask(URL, sign(URL, TOKEN), body, content_type=as_json) == Refused(Why.UNSIGNED_BODY)
    assert ask(URL, sign(URL, TOKEN), body, method="GET") == Refused(Why.UNSIGNED_BODY)


def test_a_signed_json_url_does_not_vouch_for_another_kind_of_body() -> None:
    url = with_body_hash(URL, b"{}")
    headers = sign(url, TOKEN)
    assert ask(url, headers, b"") == Refused(Why.WRONG_BODY_HASH)
    assert ask(url, headers, b"Body=x") == Refused(Why.WRONG_SIGNATURE)
    assert ask(url, headers, b"&&") == Refused(Why.WRONG_BODY_HASH)


def test_a_missing_signature() -> None:
    assert ask(URL, {}, b"a=b") == Refused(Why.NO_SIGNATURE)
    assert ask(URL, {SIGNATURE_HEADER: " "}, b"a=b") == Refused(Why.NO_SIGNATURE)


def test_the_fragment_of_connection_overrides_is_not_signed() -> None:
    assert sign(URL + "#rc=5&rp=all", TOKEN) == sign(URL, TOKEN)
    assert ask(URL + "#x", sign(URL, TOKEN), method="GET") == Refused(Why.WRONG_SIGNATURE)


def test_forms_keep_blanks_repeats_and_bytes() -> None:
    raw = b"a=&b&a=1&c=x+y%2B&%C3%A4=%FF&&=v"
    assert list(form_pairs(raw)) == [
        (b"a", b""), (b"b", b""), (b"a", b"1"), (b"c", b"x y+"), (b"\xc3\xa4", b"\xff"), (b"", b"v")
    ]  # fmt: skip
    assert parse_form(raw) == {"a": ["", "1"], "b": [""], "c": ["x y+"], "ä": ["\ufffd"], "": ["v"]}


def test_a_body_that_is_not_utf8_is_compared_as_bytes() -> None:
    signature = b64encode(hmac.digest(b"12345", URL.encode() + b"Bodycaf\xe9", "sha1")).decode()
    assert ask(URL, {SIGNATURE_HEADER: signature}, b"Body=caf%E9") == Valid("auth_token")
    good = sign(URL, TOKEN, form=[("Body", "caf\ufffd")])
    assert ask(URL, good, b"Body=caf%E9") == Refused(Why.WRONG_SIGNATURE)
    assert ask(URL, good, b"Body=caf%EF%BF%BD") == Valid("auth_token")


FIELDS = st.lists(st.tuples(st.text(min_size=1, max_size=8), st.text(max_size=12)), min_size=1, max_size=8)


@given(FIELDS)
def test_whatever_form_we_sign_is_accepted(form: list[tuple[str, str]]) -> None:
    assert ask(URL, sign(URL, TOKEN, form=form), urlencode(form).encode()) == Valid("auth_token")
    assert {(n, v) for n, vs in parse_form(urlencode(form).encode()).items() for v in vs} == set(form)


@given(FIELDS, st.data())
def test_a_changed_value_is_refused(form: list[tuple[str, str]], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(form) - 1))
    value = data.draw(st.text(max_size=12).filter(lambda v: v != form[at][1]))
    changed = [*form[:at], (form[at][0], value), *form[at + 1 :]]
    signed = "".join(n + v for n, v in sorted(set(form)))
    if "".join(n + v for n, v in sorted(set(changed))) != signed:
        result = ask(URL, sign(URL, TOKEN, form=form), urlencode(changed).encode())
        assert result == Refused(Why.WRONG_SIGNATURE)


@given(st.integers(len("https://mycompany.com/"), len(URL) - 1), st.sampled_from(string.ascii_letters + "/%#&=?;. "))
def test_a_changed_url_is_refused(at: int, character: str) -> None:
    headers = sign(URL, TOKEN, form=BASE_FORM)
    body = urlencode(BASE_FORM).encode()
    for url in (URL[:at] + character + URL[at + 1 :], URL[:at] + character + URL[at:], URL[:at] + URL[at + 1 :]):
        if url != URL:
            assert ask(url, headers, body) == Refused(Why.WRONG_SIGNATURE)


def test_ten_thousand_mutated_requests_none_accepted() -> None:
    random = Random(20_260_918)
    signature = sign(URL, TOKEN, form=BASE_FORM)[SIGNATURE_HEADER]
    alphabet = string.ascii_letters + string.digits + "+/=-_.~ é\u0000"
    accepted = 0
    for _ in range(10_000):
        url, form, mark = URL, list(BASE_FORM), signature
        kind = random.randrange(6)
        letter = random.choice(alphabet)
        if kind == 0:
            at = random.randrange(len("https://mycompany.com/"), len(url))
            url = url[:at] + letter + url[at:] + letter
        elif kind == 1:
            at = random.randrange(len(form))
            form[at] = (form[at][0], form[at][1] + letter)
        elif kind == 2:
            form.pop(random.randrange(len(form)))
        elif kind == 3:
            form.append((letter, quote_plus(letter)))
        elif kind == 4:
            at = random.randrange(len(mark))
            mark = mark[:at] + letter + mark[at + 1 :]
        else:
            at = random.randrange(len(form))
            form[at] = (form[at][0] + letter + letter, form[at][1])
        if (url, form, mark) != (URL, BASE_FORM, signature):
            accepted += isinstance(ask(url, {SIGNATURE_HEADER: mark}, urlencode(form).encode()), Valid)
    assert accepted == 0


@settings(max_examples=300)
@given(
    method=st.sampled_from(["GET", "POST", "", "put"]),
    url=st.one_of(st.text(), st.text().map(lambda t: "https://" + t), st.just("\ud800")),
    headers=st.dictionaries(
        st.sampled_from([SIGNATURE_HEADER, SETTINGS_HEADER, "content-type", "X-Other"]), st.text(st.characters())
    ),
    body=st.binary(),
)
def test_nothing_that_comes_in_raises_or_is_believed(
    method: str, url: str, headers: dict[str, str], body: bytes
) -> None:
    keys = WebhookKeys((TOKEN,), {"k": TOKEN})
    assert isinstance(verify(method=method, url=url, headers=headers, body=body, keys=keys), Refused)
    assert isinstance(verify(method=method, url=url, headers=headers, body=body, keys=KEYS), Refused)


def test_secrets_do_not_print() -> None:
    assert "12345" not in repr(KEYS) + repr(SHARED)


def test_the_configured_base_beats_every_header() -> None:
    forged = {"host": "evil.example", "x-forwarded-host": "evil.example", "x-forwarded-proto": "http"}
    url = public_url("https://bot.example.com/", b"/t/a%2Fb", b"x=%20&y", forged, scheme="http", trusted=True)
    assert url == "https://bot.example.com/t/a%2Fb?x=%20&y"
    socket = public_url("https://bot.example.com/in#rc=2", b"/media", b"", forged, scheme="ws", trusted=False)
    assert socket == "wss://bot.example.com/in/media"


@pytest.mark.parametrize(
    ("headers", "scheme", "trusted", "wanted"),
    [
        ({"Host": "a.example:8080"}, "http", False, "http://a.example:8080/p"),
        ({"Host": "a", "X-Forwarded-Host": "b", "X-Forwarded-Proto": "https"}, "http", False, "http://a/p"),
        ({"Host": "a", "X-Forwarded-Host": "b", "X-Forwarded-Proto": "https"}, "http", True, "https://b/p"),
        ({"Host": "a", "X-Forwarded-Host": "b, c", "X-Forwarded-Proto": "https, http"}, "http", True, "https://b/p"),
        ({"Host": "a", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "8443"}, "http", True, "https://a:8443/p"),
        ({"Host": "a", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "443"}, "http", True, "https://a/p"),
        ({"Host": "a", "X-Forwarded-Proto": "https"}, "ws", True, "wss://a/p"),
        ({"Host": "a", "X-Forwarded-Proto": "wss"}, "ws", True, "wss://a/p"),
        ({}, "http", False, "http:///p"),
    ],
)
def test_without_a_base_forwarded_headers_count_only_from_a_proxy(
    headers: dict[str, str], scheme: str, trusted: bool, wanted: str
) -> None:
    assert public_url(None, b"/p", b"", headers, scheme=scheme, trusted=trusted) == wanted


def test_a_request_target_of_any_bytes_can_be_rebuilt() -> None:
    url = public_url("https://h.example", bytes(range(33, 256)), b"\xff", {}, scheme="https", trusted=False)
    assert ask(url, {SIGNATURE_HEADER: "x"}, method="GET") == Refused(Why.WRONG_SIGNATURE)
