"""The links of the chain from Twilio to us, and the verdict on each: what was found, and how to mend it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from urllib.parse import urlsplit

from hookflash.base.errors import HookflashError
from hookflash.base.secret import Secret
from hookflash.channels.integration import Integration
from hookflash.channels.setup import Addresses, AtNumber, AtService, ByHand, Nowhere, Place, addresses
from hookflash.twilio.resources import AccountInfo, PhoneNumber
from hookflash.twilio.signature import sign

NONCE_HEADER = "X-Hookflash-Nonce"

_NOBODY = (("AccountSid", "AC" + "0" * 32), ("MessageSid", "SM" + "0" * 32), ("MessageStatus", "received"))


class State(StrEnum):
    """How a link is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One link: its name, its state, what was found, how to mend it; `fixable` when we can set it at Twilio."""

    link: str
    state: State
    found: str
    mend: str | None = None
    fixable: bool = False


def ok(link: str, found: str) -> Finding:
    return Finding(link, State.OK, found)


def warn(link: str, found: str, mend: str) -> Finding:
    return Finding(link, State.WARN, found, mend)


def fail(link: str, found: str, mend: str | None, *, fixable: bool = False) -> Finding:
    return Finding(link, State.FAIL, found, mend, fixable)


def failed(link: str, error: HookflashError, mend: str) -> Finding:
    """A link that ended in an error, with the error's own hint where it has one."""
    return fail(link, error.message, error.hint or mend)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an address answered; `json` is None when it was no JSON object."""

    status: int
    headers: Mapping[str, str]
    json: Mapping[str, object] | None


class Outside(Protocol):
    """The way to our public address, as anybody on the Internet takes it."""

    async def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """Raises Unavailable, with a sentence that tells a wrong name from a refused connection and bad TLS."""
        ...

    async def post(self, url: str, form: Sequence[tuple[str, str]], headers: Mapping[str, str]) -> Answer:
        """The same for a form."""
        ...


async def check_public(outside: Outside, public_url: str, nonce: str) -> list[Finding]:
    """Whether our public address leads to a Hookflash, and what becomes of scheme and host on the way."""
    parts = urlsplit(public_url)
    local = parts.hostname in ("127.0.0.1", "localhost", "::1")
    found: list[Finding] = []
    if parts.scheme != "https" and not local:
        found.append(warn("public address", f"{public_url} is not https: Twilio sends in the clear.", "use TLS"))
    try:
        answer = await outside.get(f"{public_url}/healthz", {NONCE_HEADER: nonce})
    except HookflashError as error:
        mend = "start the web role; open the proxy and the firewall; check HOOKFLASH_PUBLIC_URL"
        return [*found, failed("public address", error, mend)]
    told = answer.json or {}
    if answer.status != 200 or told.get("status") != "alive":
        return [
            *found,
            fail(
                "public address",
                f"{public_url}/healthz answers {answer.status}, not as Hookflash does.",
                "something else answers there: check the proxy's routes and HOOKFLASH_PUBLIC_URL",
            ),
        ]
    if told.get("nonce") != nonce:
        mend = "let the proxy pass unknown headers, and never cache"
        return [*found, fail("public address", "The answer is not to this request: a cache gives it.", mend)]
    found.append(ok("public address", f"{public_url} leads to Hookflash"))
    return [*found, _seen(str(told.get("seen", "")), public_url)]


def _seen(seen: str, public_url: str) -> Finding:
    """Scheme and host as the web role makes them out."""
    wanted = "{0.scheme}://{0.netloc}".format(urlsplit(public_url))
    if seen == wanted:
        return ok("proxy headers", f"requests arrive as {seen}")
    return warn(
        "proxy headers",
        f"Requests arrive as {seen or 'something unknown'}, not as {wanted}.",
        "harmless while HOOKFLASH_PUBLIC_URL is set, which counts for signatures; otherwise name the proxy in"
        " HOOKFLASH_TRUSTED_PROXIES and let it send X-Forwarded-Proto and X-Forwarded-Host",
    )


async def check_signature(outside: Outside, public_url: str, integration: Integration) -> Finding:
    """Send ourselves a signed status callback about nothing: the right signature must be let in, a wrong one refused."""
    link = f"signature of {integration.name}"
    url = addresses(public_url, integration.id).status
    key_id, secret = next(iter(integration.shared_keys.items()), (None, None))
    if secret is None:
        if not integration.auth_tokens:
            return fail(link, "There is no Auth Token to check signatures with.", "set TWILIO_AUTH_TOKEN")
        secret = integration.auth_tokens[0]
    try:
        right = await outside.post(url, _NOBODY, sign(url, secret, form=_NOBODY, shared_key_id=key_id))
        wrong = await outside.post(url, _NOBODY, sign(url, Secret("wrong"), form=_NOBODY, shared_key_id=key_id))
    except HookflashError as error:
        return failed(link, error, "see the public address")
    if right.status == 404:
        return fail(
            link,
            f"{urlsplit(url).netloc} does not know this integration.",
            "the server there uses another database: give both the same HOOKFLASH_DATABASE_URL or HOOKFLASH_DATA_DIR",
        )
    if right.status == 403:
        return fail(
            link,
            "A rightly signed request is refused.",
            "the server has another HOOKFLASH_PUBLIC_URL or TWILIO_AUTH_TOKEN than this command, or the proxy changes the"
            " path; the server's log names the address that it checked",
        )
    if right.status >= 300:
        return fail(link, f"A rightly signed request is answered with {right.status}.", "see the server's log")
    if wrong.status != 403:
        return fail(
            link,
            f"A wrongly signed request is answered with {wrong.status}.",
            "something before Hookflash answers for it: let the proxy pass /twilio/ on as it is",
        )
    return ok(link, "right ones are let in, wrong ones refused")


def check_account(info: AccountInfo) -> Finding:
    """What Twilio says of the account."""
    if info.status != "active":
        return fail("Twilio account", f"The account {info.friendly_name} is {info.status}.", "see Twilio's console")
    if info.kind == "Trial":
        mend = "upgrade it: a trial account texts verified numbers only"
        return warn("Twilio account", f"{info.friendly_name} is a trial account.", mend)
    return ok("Twilio account", f"{info.friendly_name} is active")


def check_place(integration: Integration, place: Place, ours: Addresses) -> list[Finding]:
    """The webhook, its fallback and the status callback, at the place where Twilio looks."""
    webhook, fallback = f"webhook of {integration.name}", f"fallback of {integration.name}"
    match place:
        case Nowhere(sender):
            return [
                fail(
                    f"number of {integration.name}",
                    f"The account has no number {sender}.",
                    "check the number, and that TWILIO_ACCOUNT_SID is the account that owns it",
                )
            ]
        case ByHand(sender):
            mend = f"it must be {ours.messages}, with the fallback {ours.fallback}"
            return [warn(webhook, f"{sender}: what Twilio's console says cannot be read from here.", mend)]
        case AtNumber(number):
            where = f"number {number.phone_number}"
            return [
                _url(webhook, where, number.sms_url, number.sms_method, ours.messages, fixable=True),
                _url(fallback, where, number.sms_fallback_url, number.sms_fallback_method, ours.fallback, fixable=True),
            ]
        case AtService(service, others):
            where = f"Messaging Service {service.friendly_name}"
            fixable = not others
            return [
                _url(
                    webhook, where, service.inbound_request_url, service.inbound_method, ours.messages, fixable=fixable
                ),
                _url(fallback, where, service.fallback_url, service.fallback_method, ours.fallback, fixable=fixable),
                _status(f"status callback of {integration.name}", where, service.status_callback, ours.status),
            ]


def check_calls(integration: Integration, number: PhoneNumber, ours: Addresses) -> list[Finding]:
    """Where the number's calls go. Somebody else's address is theirs: a number may take texts here and calls elsewhere."""
    calls, who = f"calls of {integration.name}", f"number {number.phone_number}"
    set_it = f"set it to {ours.calls}"
    fixes = f"{set_it}: hookflash doctor --fix"
    if not number.voice_url or "//demo.twilio.com/" in number.voice_url:
        return [Finding(calls, State.WARN, f"Nobody answers calls of the {who}.", fixes, fixable=True)]
    if not _same_place(number.voice_url, ours.calls):
        elsewhere = f"Calls of the {who} go to {number.voice_url}."
        return [warn(calls, elsewhere, f"if the assistant is to answer them, {set_it} in Twilio's console")]
    if number.voice_method not in (None, "POST"):
        return [
            Finding(calls, State.FAIL, f"The {who} uses {number.voice_method}; POST is needed.", fixes, fixable=True)
        ]
    found = [ok(calls, f"the {who} has {number.voice_url}")]
    if number.voice_url != ours.calls:
        found = [Finding(calls, State.WARN, _impatient(who, ours.calls), fixes, fixable=True)]
    for link, have, want, without in (
        ("fallback", number.voice_fallback_url, ours.calls_fallback, "the caller hears Twilio's error when we fail"),
        ("status callback", number.status_callback, ours.calls_status, "we do not learn how long calls were"),
    ):
        if have != want:
            told = f"The {who} has {have or 'none'} for calls: {without}."
            mend = f"set it to {want}: hookflash doctor --fix"
            found.append(Finding(f"call {link} of {integration.name}", State.WARN, told, mend, fixable=True))
    return found


def _same_place(have: str, want: str) -> bool:
    """Whether two addresses differ at most in how patiently they are asked."""
    return have.partition("#")[0] == want.partition("#")[0]


def _impatient(where: str, want: str) -> str:
    return f"The {where} has it without {want.partition('#')[2]}: Twilio would try once more, and only if it cannot connect."


def _url(link: str, where: str, have: str | None, method: str | None, want: str, *, fixable: bool) -> Finding:
    mend = f"set it to {want}" + (": hookflash doctor --fix" if fixable else "")
    if not have:
        return fail(link, f"The {where} has none.", mend, fixable=fixable)
    if not _same_place(have, want):
        return fail(link, f"The {where} has {have}.", mend, fixable=fixable)
    if method and method != "POST":
        return fail(link, f"The {where} uses {method}; POST is needed.", mend, fixable=fixable)
    if have != want:
        return Finding(link, State.WARN, _impatient(where, want), mend, fixable)
    return ok(link, f"the {where} has {have}")


def _status(link: str, where: str, have: str | None, want: str) -> Finding:
    """Each of our messages names its own status callback, which goes before the service's."""
    if have in (None, "", want):
        return ok(link, "every message brings its own")
    return warn(
        link, f"The {where} tells {have} how messages fare.", "harmless: each of our messages names its own address"
    )
