"""Which `up` runs on a data directory, and where its parts listen: a file that is there as long as it runs."""

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hookflash.base.errors import NotFound
from hookflash.base.secret import Secret
from hookflash.settings import Settings

_NAME = "up.json"


@dataclass(frozen=True, slots=True)
class Running:
    """A running `up`. `number` is the line that its assistant answers."""

    pid: int
    web: str
    emulator: str
    twilio_account_sid: str
    twilio_auth_token: str
    number: str
    account_id: str

    def write(self, data_dir: Path) -> None:
        """Only this user may read it: it holds the emulator's token."""
        path = data_dir / _NAME
        path.touch(mode=0o600)
        path.write_bytes(msgspec.json.encode(self))

    @classmethod
    def find(cls, data_dir: Path) -> "Running | None":
        """None when nothing runs; a file that a killed one left behind says nothing."""
        try:
            found = msgspec.json.decode((data_dir / _NAME).read_bytes(), type=cls)
        except (OSError, msgspec.DecodeError):
            return None
        return found if found.pid == os.getpid() or _lives(found.pid) else None

    @classmethod
    def require(cls, data_dir: Path) -> "Running":
        """Raises NotFound."""
        found = cls.find(data_dir)
        if found is None:
            raise NotFound(f"Nothing is running on {data_dir}.", hint="in another terminal, run: hookflash up")
        return found

    @staticmethod
    def forget(data_dir: Path) -> None:
        (data_dir / _NAME).unlink(missing_ok=True)

    def over(self, settings: Settings) -> Settings:
        """The settings that it runs with."""
        return settings.model_copy(
            update={
                "public_url": self.web,
                "twilio_api_url": self.emulator,
                "twilio_account_sid": self.twilio_account_sid,
                "twilio_auth_token": Secret(self.twilio_auth_token),
            }
        )


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
