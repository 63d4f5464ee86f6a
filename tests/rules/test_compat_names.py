"""Other people's names for what is ours: ids both ways, who an identity means, pages."""

from urllib.parse import parse_qs, urlsplit

import pytest

from hookflash.base.errors import Invalid, NotFound
from hookflash.base.ids import new_id
from hookflash.base.phone import Address
from hookflash.compat.names import Thing, account_sid, address_of, identity_of, line_of, policy_of
from hookflash.compat.paging import Asked, asked
from hookflash.compat.tool_store import our_input, our_name


def test_ids_lead_both_ways() -> None:
    ours = new_id("tool")
    theirs = Thing.TOOL.theirs(ours)
    assert theirs.startswith("aia_tool_0")
    assert Thing.TOOL.ours(theirs) == ours
    assert policy_of(ours) == f"aia_plcy_{ours}"
    for wrong in ("", ours, "aia_asst_x", "aia_tool_" + "x" * 60):
        with pytest.raises(NotFound):
            Thing.TOOL.ours(wrong)
    assert account_sid("acct_1") == account_sid("acct_1") != account_sid("acct_2")
    assert len(account_sid("acct_1")) == 34


@pytest.mark.parametrize(
    ("identity", "address"),
    [
        ("phone:+15551234567", "+15551234567"),
        ("whatsapp:+15551234567", "whatsapp:+15551234567"),
        ("user_id:jane", "web:jane"),
        ("email:jane@example.com", "web:email:jane@example.com"),
        ("jane", "web:jane"),
    ],
)
def test_an_identity_is_an_address_and_back(identity: str, address: str) -> None:
    assert str(address_of(identity)) == address
    assert Address.parse(address) == address_of(identity)
    assert identity_of(address) == (identity if ":" in identity else f"user_id:{identity}")


def test_an_identity_of_any_form_is_one_person() -> None:
    odd = ["user_id:Jürgen Müller", "user_id:+1", "sha256:abc", "x" * 400, "user_id:a/b", "user_id:"]
    addresses = [address_of(each) for each in odd]
    assert len(set(addresses)) == len(odd)
    assert all(Address.parse(str(each)) == each for each in addresses)
    for wrong in ("phone:12345", "phone:jane", "whatsapp:US.1", "phone:"):
        with pytest.raises(Invalid):
            address_of(wrong)


def test_a_line_says_how_it_speaks() -> None:
    assert line_of("asst_1") == line_of("asst_1", "chat") == "web:asst_1"
    assert Address.parse(line_of("asst_1", "voice")).value == "asst_1:voice"


def test_names_and_inputs_of_tools_are_made_ours() -> None:
    assert [our_name(each) for each in ("Order status", "order_status", "1st", " ä ")] == [
        "Order_status",
        "order_status",
        "tool_1st",
        "tool_",
    ]
    for declared in (
        "{ a: string }",
        "export type Data = { a: string };",
        "type X={ a: string }",
        "interface Y { a: string }",
    ):
        assert our_input(declared) == "{ a: string }"
    assert our_input({"type": "object"}) == {"type": "object"}


def test_pages_lead_back_as_far_as_is_known() -> None:
    at = Asked("https://a.example/v1/Tools", 2)
    for number in range(40):
        meta = at.meta("tools", f"c{number}")
        assert meta["page"] == number
        query = {name: values[0] for name, values in parse_qs(urlsplit(meta["next_page_url"]).query).items()}
        at = asked("https://a.example/v1/Tools", query)
        assert at.cursor == f"c{number}"
        assert len(meta["next_page_url"]) < 200
    back = 0
    while (url := at.meta("tools", None)["previous_page_url"]) is not None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        at = asked("https://a.example/v1/Tools", query)
        back += 1
    assert (back, at.page) == (19, 21)
    for wrong in ({"PageSize": "x"}, {"Page": "3"}, {"PageSize": "-1"}, {"PageSize": "٣"}):
        with pytest.raises(Invalid):
            asked("https://a.example/", wrong)
