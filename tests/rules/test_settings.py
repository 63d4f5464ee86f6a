"""Settings are read once, from a mapping and a file, and every mistake is told in a plain sentence."""

import base64
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from hookflash.base.errors import Misconfigured
from hookflash.base.secret import Sealer
from hookflash.settings import Settings, describe, template

SID = "AC" + "0" * 32


@pytest.fixture
def blank(tmp_path: Path) -> Path:
    """A settings file that sets nothing, so that no file of the working directory is read."""
    path = tmp_path / "blank.toml"
    path.write_text("")
    return path


def wrong(env: Mapping[str, str], path: Path) -> list[str]:
    with pytest.raises(Misconfigured) as refused:
        Settings.load(env, path)
    return refused.value.message.splitlines()


def test_nothing_needs_to_be_set(blank: Path) -> None:
    settings = Settings.load({"HOME": "/home/somebody"}, blank)
    assert settings.embedded
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.data_dir == Path("/home/somebody/.local/share/hookflash")
    assert settings.model_names == ("extractive",)
    assert settings.twilio_api_url == "https://api.twilio.com"


def test_the_data_directory_follows_xdg(blank: Path) -> None:
    assert Settings.load({"XDG_DATA_HOME": "/data"}, blank).data_dir == Path("/data/hookflash")


def test_the_environment_wins_over_the_file_and_blank_is_no_value(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('port = 1111\nhost = "0.0.0.0"\nembedder = "openai"\ntrusted_proxies = ["10.0.0.0/8"]\n')
    settings = Settings.load({"HOOKFLASH_PORT": "2222", "HOOKFLASH_HOST": " ", "HOOKFLASH_EMBEDDER": ""}, path)
    assert (settings.port, settings.host, settings.embedder) == (2222, "0.0.0.0", "openai")
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8"]


def test_lists_are_separated_by_commas_in_a_variable(blank: Path) -> None:
    env = {"HOOKFLASH_MODELS": "openai:gpt-4o-mini, extractive", "HOOKFLASH_TRUSTED_PROXIES": "10.1.2.3,fd00::/8"}
    settings = Settings.load(env, blank)
    assert settings.model_names == ("openai:gpt-4o-mini", "extractive")
    assert [str(network) for network in settings.trusted_proxies] == ["10.1.2.3/32", "fd00::/8"]
    as_json = Settings.load({"HOOKFLASH_ALLOWED_HOSTS": '["10.0.0.7:8080", "erp.internal"]'}, blank)
    assert as_json.allowed_hosts == ("10.0.0.7:8080", "erp.internal")


@pytest.mark.parametrize(
    ("env", "models"),
    [
        ({"OPENAI_API_KEY": "k"}, ("openai",)),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:11434/v1"}, ("openai",)),
        ({"ANTHROPIC_API_KEY": "k"}, ("anthropic",)),
        ({"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}, ("openai", "anthropic")),
        ({"OPENAI_API_KEY": "k", "HOOKFLASH_MODELS": "extractive"}, ("extractive",)),
    ],
)
def test_a_vendors_key_chooses_the_vendor(env: dict[str, str], models: tuple[str, ...], blank: Path) -> None:
    assert Settings.load(env, blank).model_names == models


@pytest.mark.parametrize(
    ("env", "stt", "tts"),
    [
        ({}, (), ()),
        ({"DEEPGRAM_API_KEY": "k", "CARTESIA_API_KEY": "k"}, ("deepgram",), ("cartesia",)),
        ({"OPENAI_API_KEY": "k", "ELEVENLABS_API_KEY": "k"}, ("openai",), ("elevenlabs", "openai")),
        (
            {"HOOKFLASH_STT": "deepgram:flux,whisper", "HOOKFLASH_TTS": "polly"},
            ("deepgram:flux", "whisper"),
            ("polly",),
        ),
    ],
)
def test_a_vendors_key_chooses_the_speech(
    env: dict[str, str], stt: tuple[str, ...], tts: tuple[str, ...], blank: Path
) -> None:
    settings = Settings.load(env, blank)
    assert (settings.stt_names, settings.tts_names) == (stt, tts)


def test_vendors_see_their_settings_by_their_customary_names(blank: Path) -> None:
    options = Settings.load({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://models.lan/v1/"}, blank).provider_options
    assert {"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "DEEPGRAM_API_KEY", "CARTESIA_API_KEY", "AWS_REGION"} <= set(options)
    assert not [name for name in options if name.startswith(("HOOKFLASH", "TWILIO", "VAULT"))]
    assert options["OPENAI_BASE_URL"] == "http://models.lan/v1"


def test_secrets_never_print(blank: Path) -> None:
    env = {
        "TWILIO_AUTH_TOKEN": "hush-1",
        "OPENAI_API_KEY": "hush-2",
        "HOOKFLASH_DATABASE_URL": "postgresql://u:hush-3@db/x",
    }
    settings = Settings.load(env, blank)
    assert settings.twilio_auth_token is not None
    assert settings.twilio_auth_token.get_secret_value() == "hush-1"
    assert "hush" not in f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"


def test_a_secret_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from a file\n")
    path = tmp_path / "settings.toml"
    path.write_text(f'openai_api_key_file = "{tmp_path / "token"}"\n')
    settings = Settings.load({"TWILIO_AUTH_TOKEN_FILE": str(tmp_path / "token")}, path)
    assert settings.twilio_auth_token is not None
    assert settings.openai_api_key is not None
    assert settings.twilio_auth_token.get_secret_value() == settings.openai_api_key.get_secret_value() == "from a file"


def test_the_environments_secret_wins_over_the_files_secret_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from a file")
    path = tmp_path / "settings.toml"
    path.write_text(f'twilio_auth_token_file = "{tmp_path / "token"}"\n')
    token = Settings.load({"TWILIO_AUTH_TOKEN": "from the environment"}, path).twilio_auth_token
    assert token is not None
    assert token.get_secret_value() == "from the environment"


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        (
            {"HOOKFLASH_DATABSE_URL": "x"},
            "There is no setting HOOKFLASH_DATABSE_URL. Did you mean HOOKFLASH_DATABASE_URL?",
        ),
        ({"HOOKFLASH_QQQQQQ": "x"}, "There is no setting HOOKFLASH_QQQQQQ."),
        (
            {"HOOKFLASH_OPENAI_API_KEY": "x"},
            "There is no setting HOOKFLASH_OPENAI_API_KEY. Did you mean OPENAI_API_KEY?",
        ),
        ({"HOOKFLASH_PORT": "70000"}, "HOOKFLASH_PORT is not acceptable: it should be less than or equal to 65535."),
        (
            {"HOOKFLASH_PUBLIC_URL": "bot.example.com"},
            "HOOKFLASH_PUBLIC_URL is not acceptable: an address such as https://bot.example.com is expected.",
        ),
        (
            {"HOOKFLASH_TRUSTED_PROXIES": "10.0.0.0/99"},
            "HOOKFLASH_TRUSTED_PROXIES is not acceptable: an address or a range such as 10.0.0.0/8 is expected.",
        ),
        (
            {"HOOKFLASH_LOG_FORMAT": "xml"},
            "HOOKFLASH_LOG_FORMAT is not acceptable: it should be 'console' or 'json'.",
        ),
        (
            {"TWILIO_ACCOUNT_SID": "me"},
            "TWILIO_ACCOUNT_SID is not acceptable: an account SID is AC and 32 hexadecimal digits.",
        ),
        (
            {"TWILIO_AUTH_TOKEN": "a", "TWILIO_AUTH_TOKEN_FILE": "b"},
            "TWILIO_AUTH_TOKEN is given twice, directly and as a file; remove one.",
        ),
        (
            {"OPENAI_API_KEY_FILE": "/nowhere/key"},
            "The file /nowhere/key, which is to hold OPENAI_API_KEY, cannot be read.",
        ),
        ({"OPENAI_API_KEY": "vault:a#b"}, "OPENAI_API_KEY refers to Vault: set VAULT_ADDR and VAULT_TOKEN too."),
    ],
)
def test_each_mistake_has_its_sentence(env: dict[str, str], sentence: str, blank: Path) -> None:
    assert wrong(env, blank) == [sentence]


def test_all_mistakes_are_told_at_once(blank: Path) -> None:
    assert len(wrong({"HOOKFLASH_PORT": "x", "HOOKFLASH_PUBLIC_URL": "y"}, blank)) == 2
    assert len(wrong({"HOOKFLASH_PROT": "x", "HOOKFLASH_HOTS": "y"}, blank)) == 2


def test_an_error_does_not_repeat_a_value(blank: Path) -> None:
    assert "hush" not in "".join(wrong({"HOOKFLASH_PORT": "hush", "TWILIO_ACCOUNT_SID": "hush"}, blank))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("prot = 1", "There is no setting prot (in {path}). Did you mean port?"),
        ("port = 'x", "The settings file {path} is not TOML: "),
        ("port = 0", "port in {path} is not acceptable: it should be greater than or equal to 1."),
        ("[port]\nx = 1", "port in {path} is not acceptable: "),
    ],
)
def test_mistakes_in_the_file(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    (told,) = wrong({}, path)
    assert told.startswith(sentence.format(path=path))


def test_a_file_that_is_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Misconfigured, match=r"There is no settings file nowhere\.toml\."):
        Settings.load({"HOOKFLASH_CONFIG": "nowhere.toml"})


def test_the_file_of_the_working_directory_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.load({}).port == 8080
    (tmp_path / "hookflash.toml").write_text("port = 1234")
    (tmp_path / "other.toml").write_text("port = 4321")
    assert Settings.load({}).port == 1234
    assert Settings.load({"HOOKFLASH_CONFIG": "other.toml"}).port == 4321


def test_our_own_database_gets_a_sealing_key_that_stays(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    key = settings.sealing_key()
    assert len(base64.urlsafe_b64decode(key.get_secret_value())) == 32
    assert Settings(data_dir=tmp_path / "data").sealing_key() == key
    assert (tmp_path / "data" / "secret.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["secret.key"]
    assert Sealer(key).open(Sealer(key).seal("x", "row"), "row").get_secret_value() == "x"


def test_a_database_of_others_needs_a_key_from_outside(blank: Path) -> None:
    settings = Settings.load({"HOOKFLASH_DATABASE_URL": "postgresql://db/x"}, blank)
    with pytest.raises(Misconfigured, match="HOOKFLASH_SECRET_KEY is missing"):
        settings.sealing_key()
    settings = Settings.load({"HOOKFLASH_DATABASE_URL": "postgresql://db/x", "HOOKFLASH_SECRET_KEY": "k"}, blank)
    assert settings.sealing_key().get_secret_value() == "k"


def test_the_template_sets_nothing_and_explains_everything(tmp_path: Path) -> None:
    text = template()
    assert tomllib.loads(text) == {}
    for setting in describe():
        assert setting.env in text or setting.section == "File"
        assert setting.meaning


def test_the_template_is_right_when_its_defaults_are_uncommented(tmp_path: Path) -> None:
    lines = [line.removeprefix("# ") for line in template().splitlines() if line.startswith("# ") and " = " in line]
    path = tmp_path / "settings.toml"
    path.write_text("\n".join(line for line in lines if "KEY_file" not in line))
    env = {"HOME": str(tmp_path)}
    assert Settings.load(env, path).model_dump(exclude={"data_dir"}) == Settings().model_dump(exclude={"data_dir"})
