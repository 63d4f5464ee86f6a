"""What a session has cost up to now, for its limit."""

from hookflash.db.migrations.upgrade import execute

revision = "0012"
down_revision = "0011"

SQL = """
alter table sessions add column spent_micros bigint not null default 0;
update sessions s set spent_micros = t.micros
  from (select session_id, sum(cost_micros) as micros from turns group by session_id) t
  where t.session_id = s.id;
"""


def upgrade() -> None:
    """Run the SQL above."""
    execute(SQL)
