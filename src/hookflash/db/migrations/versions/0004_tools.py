"""Tools: what an assistant can do, by which address, under whose authority, and what became of each call of one."""

from hookflash.db.migrations.upgrade import execute

revision = "0004"
down_revision = "0003"

SQL = """
"""


def upgrade() -> None:
    execute(SQL)
