"""Experiments, feedback and evaluations."""

from hookflash.db.migrations.upgrade import execute

revision = "0009"
down_revision = "0008"

SQL = """
"""


def upgrade() -> None:
    execute(SQL)
