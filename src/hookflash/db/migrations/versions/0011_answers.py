"""Curated answers, knowledge entries with descriptions, and indexes that lie elsewhere."""

from hookflash.db.migrations.upgrade import execute

revision = "0011"
down_revision = "0010"

SQL = """
"""


def upgrade() -> None:
    execute(SQL)
