"""Calls: another try later, and the person who joins."""

from hookflash.db.migrations.upgrade import execute

revision = "0006"
down_revision = "0005"

SQL = """
alter table calls add column retries integer not null default 0;   -- of a call of ours: how often it is tried again

create table call_attempts (
  id          text primary key,
  account_id  text not null references accounts on delete cascade,
  call_id     text not null references calls on delete cascade,
  number      integer not null,
  state       text not null check (state in ('due', 'dialling', 'ringing', 'over')),
  call_sid    text,
  why         text,                              -- how it ended: completed, busy, no-answer, failed, or our own words
  due_at      timestamptz not null,
  began_at    timestamptz,
  ended_at    timestamptz,
  unique (call_id, number)
);
create index call_attempts_by_sid on call_attempts (account_id, call_sid);

create table transfers (
  id          text primary key,                  -- also the name of the conference in which the caller waits
  account_id  text not null references accounts on delete cascade,
  call_id     text not null references calls on delete cascade,
  target      text not null,
  state       text not null,                     -- ringing, joined; declined, busy, no-answer, failed, abandoned
  call_sid    text,                              -- of the call to the person
  at          timestamptz not null,
  ended_at    timestamptz
);
create index transfers_by_call on transfers (call_id, at desc);

do $$
declare t text;
begin
  foreach t in array array['call_attempts', 'transfers'] loop
    execute format('alter table %I enable row level security', t);
    execute format('create policy one_account on %I to hookflash_app using (account_id = current_account())'
                   ' with check (account_id = current_account())', t);
    execute format('grant select, insert, update, delete on %I to hookflash_app', t);
  end loop;
end $$;
"""


def upgrade() -> None:
    """Run the SQL above."""
    execute(SQL)
