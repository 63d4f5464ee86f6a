"""The commands as they are typed, against a real database: what they print, what they return, how they fail."""

import json
import logging
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg
import pytest
import structlog
from anyio.from_thread import start_blocking_portal
from typer.testing import CliRunner, Result

from hookflash.base.clock import SystemClock
from hookflash.base.secret import Sealer
from hookflash.cli import app
from hookflash.conversation.journal_store import journal, seal_journal
from hookflash.db.pool import Database
from hookflash.emulator.server import Emulator
from hookflash.knowledge import store
from hookflash.testing.openai_server import OpenAIServer
from hookflash.testing.vendor import serve
from tests.doors.test_web import Served, WebServer, html

KEY = Sealer.new_key()
Cli = Callable[..., Result]


@pytest.fixture
def logs_as_they_were() -> Iterator[None]:
    """A command sets up the log of its process, which here is also everybody else's."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def cli(logs_as_they_were: None, fresh_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command with these settings only; it never ends in a traceback."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, **settings: str | None) -> Result:
        env = {
            "HOOKFLASH_DATA_DIR": str(fresh_directory),
            "HOOKFLASH_SECRET_KEY": KEY,
            "NO_COLOR": "1",
            "COLUMNS": "160",
        }
        gone = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")
        result = CliRunner().invoke(app, [str(a) for a in arguments], env=dict.fromkeys(gone) | env | settings)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        assert "\x1b[" not in result.output
        return result

    return run


@pytest.fixture
def on(cli: Cli, database_url: str) -> Cli:
    """Runs a command on a fresh database."""

    def run(*arguments: object, **more: Any) -> Result:
        return cli(*arguments, **({"HOOKFLASH_DATABASE_URL": database_url} | more))

    return run


@pytest.fixture
def shop(on: Cli, tmp_path: Path) -> Cli:
    """A database with an account, an assistant and a number."""
    assert on("accounts", "create", "Acme").exit_code == 0
    assert on("integrations", "create", "--sender", "+12025550100", "--assistant", "Acme").exit_code == 0
    return on


def data(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def in_thread(opened: Any) -> Any:
    """An async context manager, run on an event loop of its own beside this test."""

    class Running:
        def __enter__(self) -> Any:
            self._portal = start_blocking_portal()
            self._inner = self._portal.__enter__().wrap_async_context_manager(opened)
            return self._inner.__enter__()

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            self._inner.__exit__(kind, error, trace)
            self._portal.__exit__(None, None, None)

    return Running()


# Accounts, keys, numbers


def test_accounts_and_keys(on: Cli) -> None:
    assert "none yet" in on("accounts", "list").output
    assert on("keys", "list").exit_code == 1
    assert "There is no account yet" in on("keys", "list").stderr
    assert "Created account acct_" in on("accounts", "create", "Acme").output
    (account,) = data(on("accounts", "list", "--json"))
    assert account["name"] == "Acme"
    made = on("keys", "create", "--name", "crm", "--scope", "messages:read").output
    text = next(word for word in made.split() if word.startswith("hf_"))
    listed = on("keys", "list")
    assert "crm" in listed.output
    assert text not in listed.output
    (key,) = data(on("keys", "list", "--json"))
    assert key["scopes"] == ["messages:read"]
    assert on("keys", "revoke", key["id"]).exit_code == 0
    assert "revoked" in on("keys", "list").output
    assert on("keys", "revoke", "key_none").exit_code == 1
    wrong = on("keys", "create", "--scope", "everything")
    assert wrong.exit_code == 2
    assert "There is no scope everything." in wrong.stderr
    assert on("accounts", "create", " ").exit_code == 2


def test_which_account_is_meant_must_be_said_where_there_are_several(on: Cli) -> None:
    for name in ("One", "Two"):
        on("accounts", "create", name)
    first, _ = data(on("accounts", "list", "--json"))
    assert "There are 2 accounts: say which one." in on("keys", "list").stderr
    assert on("keys", "list", "--account", first["id"]).exit_code == 0
    assert on("keys", "list", "--account", "acct_none").exit_code == 1


def test_a_number_is_joined_to_an_assistant(shop: Cli) -> None:
    (made,) = data(shop("integrations", "list", "--json", HOOKFLASH_PUBLIC_URL="https://bot.example.com"))
    assert made["assistant"] == "Acme"
    assert made["messages"] == f"https://bot.example.com/twilio/{made['id']}/messages#rc=5&rp=all"
    again = shop("integrations", "create", "--sender", "+12025550100")
    assert again.exit_code == 1
    assert "has an integration of that sender already" in again.stderr
    assert shop("integrations", "create", "--sender", "12 nonsense!").exit_code == 2
    elsewhere = {"HOOKFLASH_PUBLIC_URL": "https://bot.example.com", "COLUMNS": "40"}
    told = shop("integrations", "create", "--sender", "+12025550109", **elsewhere).output
    assert re.search(r"^ +https://bot\.example\.com/twilio/intg_\w+/messages#rc=5&rp=all$", told, re.MULTILINE)
    assert re.search(r"^ +https://bot\.example\.com/twilio/intg_\w+/voice#rc=5&rp=all$", told, re.MULTILINE)
    assert shop("integrations", "disable", made["id"]).exit_code == 0
    assert "disabled" in shop("integrations", "list").output
    assert shop("integrations", "enable", made["id"]).exit_code == 0
    assert "answers" in shop("integrations", "list").output
    assert shop("integrations", "enable", "intg_none").exit_code == 1


def test_the_webhook_is_set_at_twilio(shop: Cli) -> None:
    no_address = shop("integrations", "create", "--sender", "+12025550101", "--set-webhook")
    assert no_address.exit_code == 3
    assert "HOOKFLASH_PUBLIC_URL is not set" in no_address.stderr
    with in_thread(Emulator.serve()) as box:
        twilio = {
            "HOOKFLASH_PUBLIC_URL": "https://bot.example.com",
            "HOOKFLASH_TWILIO_API_URL": box.url,
            "TWILIO_ACCOUNT_SID": box.account_sid,
            "TWILIO_AUTH_TOKEN": box.auth_token.get_secret_value(),
        }
        number = box.add_number("+12025550102")
        made = shop("integrations", "create", "--sender", "+12025550102", "--set-webhook", **twilio)
        assert made.exit_code == 0, made.output
        assert "Set its addresses at the number +12025550102" in made.output
        assert number.resource["sms_url"].endswith("/messages#rc=5&rp=all")
        assert number.resource["sms_fallback_url"].endswith("/fallback")
        missing = shop("integrations", "create", "--sender", "+12025550103", "--set-webhook", **twilio)
        assert missing.exit_code == 1
        assert "has no number +12025550103" in missing.stderr


# Knowledge


def test_documents_are_taken_in_once_and_asked_about(shop: Cli, tmp_path: Path) -> None:
    book = tmp_path / "book"
    (book / "shop").mkdir(parents=True)
    (book / "shop" / "returns.md").write_text("# Returns\n\nYou can return a jacket within 60 days of buying it.\n")
    (book / "hours.txt").write_text("The shop opens at ten in the morning from Monday to Saturday.\n")
    (book / "photo.raw").write_bytes(b"\0")
    (book / ".hidden.md").write_text("# Hidden\n\nnot for reading\n")
    first = data(shop("ingest", book, "--json"))
    assert sorted(document["name"] for document in first["indexed"]) == ["hours.txt", "shop/returns.md"]
    assert (first["unchanged"], first["skipped"], first["failed"]) == (0, 1, [])
    (book / "hours.txt").write_text("The shop opens at nine in the morning from Monday to Saturday.\n")
    again = shop("ingest", book)
    assert again.exit_code == 0
    assert "1 taken in (1 passages), 1 unchanged, 1 of other kinds skipped" in again.output

    asked = shop("ask", "How long do I have to return a jacket?")
    assert "60 days" in asked.output
    assert "Returns" in asked.output
    assert "cosine" in asked.output
    told = data(shop("ask", "How long do I have to return a jacket?", "--json"))
    assert told["kind"] == "answered"
    assert told["sources"][0]["title"] == "Returns"
    assert shop("ask", " ").exit_code == 2


def test_a_web_site_is_a_source_of_its_own(shop: Cli) -> None:
    server = WebServer(
        {
            "/": Served(html("/returns", "/gone", "/void", title="Shop")),
            "/returns": Served(html(say="You can return a jacket within 60 days of buying it.", title="Returns")),
            "/void": Served(b" "),
        }
    )
    with in_thread(serve(server)) as url:
        here = {"HOOKFLASH_ALLOWED_HOSTS": "127.0.0.1", "HOOKFLASH_WEB_DELAY_SECONDS": "0"}
        refused = shop("ingest", url, HOOKFLASH_WEB_DELAY_SECONDS="0")
        assert refused.exit_code == 1
        assert "its address is this machine's own" in refused.stderr
        first = shop("ingest", url, **here)
        assert first.exit_code == 1
        assert "2 taken in" in first.output
        assert "404: the server has no such page" in first.stderr
        assert "the page is empty" in first.stderr
        assert "60 days" in shop("ask", "How long do I have to return a jacket?").output
        server.pages = {"/": Served(html(title="Shop"))}
        again = data(shop("ingest", url, "--json", **here))
        assert (again["vanished"], again["failed"]) == (3, [])
        assert shop("ingest", url, "x.md", "--source", "x", **here).exit_code == 1
        other = shop("ingest", f"{url}/other", **here)
        assert "holds something else" in other.stderr


def test_a_test_set_of_retrieval_is_measured(shop: Cli, tmp_path: Path) -> None:
    rows = [
        {"id": "a", "title": "Returns", "text": "You can return a jacket within 60 days of buying it."},
        {"id": "b", "title": "Hours", "text": "The shop opens at nine in the morning."},
        {"query": "how long may I return a jacket", "relevant": ["a"]},
        {"query": "when do you open", "relevant": ["b"]},
    ]
    path = tmp_path / "set.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    told = shop("eval", "retrieval", path, "--check", "0.9")
    assert told.exit_code == 0, told.output
    assert "2 documents, 2 passages, 2 questions" in told.output
    assert "recall@10" in told.output
    report = data(shop("eval", "retrieval", tmp_path, "--json"))
    assert report["results"]["both"]["mrr"]["mean"] == 1.0
    path.write_text("{}")
    assert "line 1: neither a document" in shop("eval", "retrieval", path).stderr
    assert shop("eval", "retrieval", tmp_path / "none").exit_code == 1


def test_big_sources_are_copied_to_the_index_outside(
    shop: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "IN_MEMORY_AT_MOST", 1)
    filler = "This is said of everything that the shop has, so that a section is long enough to stand alone. " * 4
    text = f"# Tents\n\nA tent costs 200 dollars. {filler}\n\n# Boots\n\nBoots cost ninety dollars. {filler}\n"
    (tmp_path / "prices.md").write_text(text)
    assert shop("ingest", tmp_path / "prices.md").exit_code == 0
    unset = shop("reindex")
    assert unset.exit_code == 3
    assert "HOOKFLASH_VECTOR_INDEX_URL" in unset.stderr
    outside = {"HOOKFLASH_VECTOR_INDEX_URL": str(tmp_path / "own.db"), "HOOKFLASH_VECTOR_INDEX_REGION": "eu"}
    (copied,) = data(shop("reindex", "--json", **outside))
    assert (copied["name"], copied["vectors"]) == ("documents", 2)
    assert "documents: 0 vectors" in shop("reindex", **outside).output
    assert "documents: 2 vectors" in shop("reindex", "--anew", **outside).output
    assert "200 dollars" in shop("ask", "What does a tent cost?", **outside).output
    monkeypatch.setattr(store, "IN_MEMORY_AT_MOST", 100)
    assert "No source has more than 100 passages" in shop("reindex", **outside).output
    away = shop("reindex", HOOKFLASH_VECTOR_INDEX_URL="milvus.example")
    assert away.exit_code == 3


def test_a_source_can_be_given_to_one_assistant(shop: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Prices\n\nA tent costs 200 dollars.\n")
    assert shop("ingest", tmp_path / "a.md", "--source", "prices", "--assistant", "Acme").exit_code == 0
    assert shop("ingest", tmp_path / "a.md", "--assistant", "Nobody").exit_code == 1


def test_what_cannot_be_read_is_named_with_its_reason(shop: Cli, tmp_path: Path) -> None:
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7\nnot a real one")
    (tmp_path / "no-header.csv").write_text("1,2\n3,4\n")
    (tmp_path / "empty.md").write_text("")
    (tmp_path / "good.md").write_text("# Good\n\nThis one can be read without any trouble.\n")
    with (tmp_path / "huge.txt").open("wb") as huge:
        huge.truncate(200_000_000)
    result = shop("ingest", tmp_path)
    assert result.exit_code == 1
    for name, reason in (
        ("broken.pdf", "PDF"),
        ("no-header.csv", "no header row"),
        ("empty.md", "the file is empty"),
        ("huge.txt", "the file has 200.0 MB; at most 50.0 MB are read"),
    ):
        assert any(name in line and reason in line for line in result.stderr.splitlines()), (name, result.stderr)
    assert "1 taken in (1 passages), 4 failed" in result.output
    assert [each["name"] for each in json.loads(shop("ingest", tmp_path, "--json").stdout)["failed"]] == [
        "broken.pdf",
        "empty.md",
        "huge.txt",
        "no-header.csv",
    ]


def test_nothing_to_take_in(shop: Cli, tmp_path: Path) -> None:
    assert "There is no file or directory" in shop("ingest", tmp_path / "none").stderr
    (tmp_path / "void").mkdir()
    assert "There is nothing to take in" in shop("ingest", tmp_path / "void").stderr


def test_an_empty_knowledge_is_said_plainly(shop: Cli) -> None:
    asked = shop("ask", "When do you open?")
    assert asked.exit_code == 0
    assert "does not know" in asked.output
    assert "hookflash ingest PATH" in asked.output


def test_a_wrong_model_key_is_named(on: Cli, tmp_path: Path) -> None:
    with in_thread(serve(OpenAIServer(SystemClock(), key="sk-right"))) as url:
        vendor = {"OPENAI_API_KEY": "sk-wrong", "OPENAI_BASE_URL": f"{url}/v1", "HOOKFLASH_MODELS": "openai:some-model"}
        on("accounts", "create", "Acme")
        on("integrations", "create", "--sender", "+12025550100", **vendor)
        (tmp_path / "hours.md").write_text("# Hours\n\nThe shop opens at ten in the morning.\n")
        on("ingest", tmp_path / "hours.md")
        found = on("doctor", **vendor)
        assert found.exit_code == 1
        assert "model openai:some-model" in found.output
        assert "OPENAI_API_KEY" in found.output
        asked = on("ask", "When does the shop open?", **vendor)
        assert asked.exit_code == 0, "the model that needs no key answers instead"
        assert "fell back" in asked.output
        assert "sk-wrong" not in found.output + asked.output


# The journal


async def _written(database_url: str, account_id: str) -> None:
    clock = SystemClock()
    async with Database.open(database_url) as db, db.tenant(account_id) as conn:
        for number in range(3):
            await journal(conn, account_id, "received", f"msg_{number}", None, {"text": "hello"}, clock.now())
        await seal_journal(conn, account_id, clock.now())


def test_the_journal_is_verified_and_the_first_altered_record_named(on: Cli, database_url: str) -> None:
    assert on("audit", "verify").exit_code == 1
    on("accounts", "create", "Acme")
    (account,) = data(on("accounts", "list", "--json"))
    with start_blocking_portal() as portal:
        portal.call(_written, database_url, account["id"])
    sound = on("audit", "verify")
    assert sound.exit_code == 0
    assert "3 entries under 1 seals are as they were written" in sound.output
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("alter table journal disable trigger journal_append_only")
        owner.execute("update journal set body = replace(body, 'hello', 'goodbye') where subject = 'msg_1'")
    broken = on("audit", "verify")
    assert broken.exit_code == 1
    assert "(received of msg_1) is altered" in broken.stderr
    assert json.loads(on("audit", "verify", "--json").stdout)[0]["what"] == "altered"


# Settings and the first account


def test_init_writes_settings_and_the_first_account(
    cli: Cli, database_url: str, server_url: str, tmp_path: Path
) -> None:
    assert len(cli("init", "--print-key").stdout.strip()) == 44
    made = cli("init")
    assert made.exit_code == 0
    assert "public_url" in (tmp_path / "hookflash.toml").read_text()
    assert "hf_" not in made.output
    again = cli("init")
    assert again.exit_code == 1
    assert "There is a file hookflash.toml already." in again.stderr
    first = cli("init", "--force", HOOKFLASH_DATABASE_URL=database_url)
    assert "Created account acct_" in first.output
    assert "\nhf_" in first.stdout
    second = cli("init", "--force", HOOKFLASH_DATABASE_URL=database_url)
    assert second.exit_code == 0
    assert "hf_" not in second.output


def test_a_wrong_setting_is_named(cli: Cli) -> None:
    wrong = cli("accounts", "list", HOOKFLASH_PORT="many", HOOKFLASH_PUBLC_URL="x")
    assert wrong.exit_code == 3
    assert "There is no setting HOOKFLASH_PUBLC_URL. Did you mean HOOKFLASH_PUBLIC_URL?" in wrong.stderr
    assert cli("doctor", HOOKFLASH_PORT="many").exit_code == 1


# Linux has a device that is always full; elsewhere the sentence alone is tested (tests/rules/test_cli_help.py).
@pytest.mark.parametrize("full_disk", [path for path in (Path("/dev/full"),) if path.exists()])
def test_a_full_disk_is_said_plainly(cli: Cli, full_disk: Path) -> None:
    full = cli("init", "--path", full_disk, "--force")
    assert full.exit_code == 1
    assert "The disk is full" in full.stderr


# The database


def test_a_database_that_is_away(cli: Cli) -> None:
    away = cli("accounts", "list", HOOKFLASH_DATABASE_URL="postgresql://u:p@127.0.0.1:9/x")
    assert away.exit_code == 4
    assert "The database does not answer." in away.stderr


def test_a_wrong_password(cli: Cli, server_url: str, database_url: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as owner:
        row = owner.execute("show hba_file").fetchone()
        assert row
        rules = Path(row[0])
        before = rules.read_text()
        try:
            rules.write_text("local all with_password scram-sha-256\n" + before)
            owner.execute("drop role if exists with_password")
            owner.execute("create role with_password login password 'right'")
            owner.execute("select pg_reload_conf()")
            url = database_url.replace("hookflash@", "with_password:wrong@")
            refused = cli("accounts", "list", HOOKFLASH_DATABASE_URL=url)
        finally:
            rules.write_text(before)
            owner.execute("select pg_reload_conf()")
            owner.execute("drop role if exists with_password")
    assert refused.exit_code == 3
    assert "The database refuses the user or the password." in refused.stderr
    assert "wrong" not in refused.output


def test_an_old_or_empty_schema_asks_for_a_migration(on: Cli, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("update alembic_version set version_num = '0001'")
    old = on("accounts", "list")
    assert old.exit_code == 3
    assert "The database schema is old: it is at revision 0001" in old.stderr
    assert "run: hookflash migrate" in old.stderr
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("drop schema public cascade; create schema public")
    assert "The database is empty." in on("accounts", "list").stderr
    assert "Migrated to revision" in on("migrate").output
    assert "already" in on("migrate").output
    assert on("accounts", "list").exit_code == 0


# Ports


def test_a_port_that_is_taken(cli: Cli, on: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for result, option in (
            (cli("up", "--port", port), "hookflash up --port 9000"),
            (on("serve", "--role", "web", "--port", port), "--port or HOOKFLASH_PORT"),
            (cli("emulator", "--port", port), "--port"),
        ):
            assert result.exit_code == 3
            assert "Address already in use" in result.stderr
            assert option in result.stderr


def test_what_needs_another_command_first(cli: Cli, on: Cli) -> None:
    silent = cli("text", "hello")
    assert silent.exit_code == 1
    assert "hookflash up" in silent.stderr
    assert "HOOKFLASH_DATABASE_URL is set" in on("up").stderr
    no_address = on("worker")
    assert no_address.exit_code == 3
    assert "HOOKFLASH_PUBLIC_URL is not set" in no_address.stderr


def test_a_contact_is_shown_with_what_is_remembered_of_them(on: Cli, database_url: str) -> None:
    assert on("accounts", "create", "Acme").exit_code == 0
    with psycopg.connect(database_url) as owner:
        row = owner.execute("select account_id from accounts").fetchone()
        assert row is not None
        owner.execute("insert into contacts (id, account_id, name) values ('cont_a', %s, 'Ada')", row)
        owner.execute("insert into contact_addresses values (%s, '+15550111222', 'cont_a')", row)
        owner.execute(
            "insert into contact_traits values (%s, 'cont_a', 'plan', 'conversation', '\"gold\"', null, now())", row
        )
        owner.execute(
            "insert into memories (id, account_id, contact_id, kind, source, text, at, updated_at)"
            " values ('mem_a', %s, 'cont_a', 'observation', 'api', 'Bought a kettle.', now(), now())",
            row,
        )
    shown = on("contacts", "show", "phone:+15550111222")
    assert shown.exit_code == 0
    for word in ("cont_a", "Ada", "gold", "Bought a kettle.", "phone:+15550111222"):
        assert word in shown.stdout
    told = json.loads(on("contacts", "show", "cont_a", "--json").stdout)
    assert (told["identities"], told["traits"][0]["value"]) == (["phone:+15550111222"], "gold")
    assert on("contacts", "show", "email:nobody@example.com").exit_code == 1
    assert on("contacts", "show", "nobody").exit_code == 2
