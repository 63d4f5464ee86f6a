"""The tables of procrastinate, which keeps the jobs, for the role of the application."""

from procrastinate.schema import SchemaManager

from hookflash.db.migrations.upgrade import execute

revision = "0002"
down_revision = "0001"

_GRANTS = """
do $$ declare name text; begin
  for name in select oid::regclass from pg_class where relnamespace = 'public'::regnamespace
              and relkind = 'r' and relname like 'procrastinate\\_%' loop
    execute format('grant select, insert, update, delete on %s to hookflash_app', name);
  end loop;
  for name in select oid::regclass from pg_class where relnamespace = 'public'::regnamespace
              and relkind = 'S' and relname like 'procrastinate\\_%' loop
    execute format('grant usage on sequence %s to hookflash_app', name);
  end loop;
end $$;
"""


def upgrade() -> None:
    """Run the schema of the installed release (3.10); what a later release changes is a revision of its own."""
    execute(SchemaManager.get_schema())
    execute(_GRANTS)
