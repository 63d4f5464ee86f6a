"""How alembic walks the files in `versions`, and how a file's own SQL is run."""

import psycopg
import sqlalchemy
from alembic import op
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory
from sqlalchemy.pool import NullPool

from hookflash.base.errors import MigrationFailed
from hookflash.db.migrate import VERSIONS


def upgrade(url: str) -> list[str]:
    """Applies every revision that is missing, each in a transaction of its own; returns their numbers in order."""
    script = ScriptDirectory(str(VERSIONS.parent), version_locations=[str(VERSIONS)])
    applied: list[str] = []

    def steps(have: object, _context: MigrationContext) -> list[MigrationStep]:
        return list(script._upgrade_revs("heads", have))  # type: ignore[arg-type]  # noqa: SLF001  (alembic's own commands do so)

    def note(*, step: object, **_rest: object) -> None:
        applied.append(step.up_revision_id)  # type: ignore[attr-defined]

    # The connection comes from psycopg itself, so that whatever a URL may say means the same here as in the pool.
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url, connect_timeout=10), poolclass=NullPool
    )
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(
                connection,
                opts={"fn": steps, "script": script, "transaction_per_migration": True, "on_version_apply": (note,)},
            )
            with Operations.context(context):
                context.run_migrations()
    except sqlalchemy.exc.DBAPIError as error:
        raise _failed(applied, error.orig or error) from error
    except psycopg.Error as error:
        raise _failed(applied, error) from error
    finally:
        engine.dispose()
    return applied


def execute(sql: str) -> None:
    """Runs hand-written SQL of any number of statements exactly as it stands (`%` and `:` mean nothing special)."""
    driver = op.get_bind().connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    driver.execute(sql.encode(), prepare=False)


def _failed(applied: list[str], error: BaseException) -> MigrationFailed:
    after = f"after {applied[-1]}" if applied else "at the first step"
    return MigrationFailed(f"The database could not be migrated ({after}): {str(error).splitlines()[0]}")
