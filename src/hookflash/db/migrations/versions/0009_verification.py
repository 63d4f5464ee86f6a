"""Proof that a person holds their phone, who may see which source, and messages that are to leave later."""

from hookflash.db.migrations.upgrade import execute

revision = "0009"
down_revision = "0008"

SQL = """
alter table sessions add column verified_at timestamptz;
alter table sessions add column verified_place text;  -- line and address that the proof holds for
alter table sources add column policy jsonb not null default '{}';

create table verifications (
  id              text primary key,
  account_id      text not null references accounts on delete cascade,
  contact_id      text not null references contacts on delete cascade,
  session_id      text not null references sessions on delete cascade,
  number          text not null,                 -- whose holder has to be proven
  place           text not null,                 -- line and address that the person talks from
  waiting         text not null,                 -- what they wanted
  state           text not null default 'pending'
                  check (state in ('pending', 'approved', 'canceled', 'expired', 'failed')),
  sid             text,                          -- Twilio Verify's; null: the code is ours
  seeds           text[] not null default '{}',  -- of ours: the messages that brought it, from which it follows
  tries           smallint not null default 0,
  sends           smallint not null default 0,
  given           text,                          -- a code that was given and not looked at yet
  given_by        text,
  decided_by      text,                          -- the message that was decided on last, and what was said to it
  told            text,
  last_code       bytea,                         -- keyed hash of the code that was looked at last
  started_at      timestamptz not null,
  sent_at         timestamptz not null,
  expires_at      timestamptz not null,
  closed_at       timestamptz
);
create unique index verifications_one_pending on verifications (session_id) where state = 'pending';
create index verifications_by_contact on verifications (contact_id, started_at);
create index verifications_by_session on verifications (session_id, started_at);
create index verifications_awaited on verifications (contact_id) where state = 'pending';

create table scheduled_messages (
  id              text primary key,
  account_id      text not null references accounts on delete cascade,
  contact_id      text not null references contacts on delete cascade,
  integration_id  text not null references integrations on delete cascade,
  key             text not null,                 -- the tool call that asked for it
  address         text not null,
  sender          text not null,
  scope           text not null,                 -- whose opt-out ends it
  body            text not null,
  due_at          timestamptz not null,
  state           text not null default 'waiting' check (state in ('waiting', 'sent', 'canceled')),
  why             text,
  created_at      timestamptz not null,
  unique (account_id, key)
);
create index scheduled_messages_by_contact on scheduled_messages (contact_id) where state = 'waiting';
create index scheduled_messages_by_address on scheduled_messages (account_id, address, scope) where state = 'waiting';

create function cancel_scheduled() returns trigger language plpgsql as $$
begin
  update scheduled_messages set state = 'canceled', why = 'opted out'
   where account_id = new.account_id and address = new.address and scope = new.sender and state = 'waiting';
  return null;
end $$;
create trigger opted_out_cancels after insert or update on opt_outs for each row when (new.opted_out)
  execute function cancel_scheduled();

do $$ declare t text; begin
  foreach t in array array['verifications', 'scheduled_messages'] loop
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
