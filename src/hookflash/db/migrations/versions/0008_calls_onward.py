"""Calls: another try later, and the person who joins."""

from hookflash.db.migrations.upgrade import execute

revision = "0008"
down_revision = "0007"

SQL = """
"""


def upgrade() -> None:
    execute(SQL)
