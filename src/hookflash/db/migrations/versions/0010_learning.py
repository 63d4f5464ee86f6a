"""Drafts and published revisions, experiments, feedback, corrections."""

from hookflash.db.migrations.upgrade import execute

revision = "0010"
down_revision = "0009"

SQL = """
alter table assistants add column draft jsonb;   -- the working copy; null while it is what is published
alter table assistant_revisions add column kind text not null default 'published' check (kind in ('published', 'variant'));
alter table assistant_revisions add column note text not null default '';
alter table assistant_revisions add column made_by text;  -- id of the API key; null: the command line, or the program

create table experiments (
  id            text primary key,
  account_id    text not null references accounts on delete cascade,
  assistant_id  text not null references assistants on delete cascade,
  name          text not null,
  metric        text not null check (metric in ('resolution', 'hand_off', 'rating')),
  state         text not null default 'running' check (state in ('running', 'concluded')),
  variants      jsonb not null,                  -- name, revision, share and changes of each, the control first
  names         text[] not null,                 -- the variant of each of the hundred places
  revisions     integer[] not null,              -- its revision
  winner        text,
  published     integer,                         -- the revision that its end made
  result        jsonb,                           -- the figures at its end
  started_at    timestamptz not null,
  ended_at      timestamptz
);
create index experiments_by_account on experiments (account_id, id);
create unique index experiments_one_running on experiments (assistant_id) where state = 'running';

alter table sessions add column experiment_id text references experiments on delete set null;
alter table sessions add column variant text;
alter table sessions add column rate_at timestamptz;   -- when the person is asked how it was
create index sessions_by_experiment on sessions (experiment_id, variant) where experiment_id is not null;
create index sessions_to_rate on sessions (rate_at) where rate_at is not null;

-- The same place as insight/experiment.py computes: 0 to 99.
create function experiment_place(experiment text, contact text) returns integer language sql immutable strict parallel safe
  return (('x' || left(encode(sha256(convert_to(experiment || ':' || contact, 'UTF8')), 'hex'), 14))::bit(56)::bigint
          % 100)::integer;

create table feedback (
  id            text primary key,
  account_id    text not null references accounts on delete cascade,
  assistant_id  text not null references assistants on delete cascade,
  contact_id    text not null references contacts on delete cascade,
  session_id    text not null references sessions on delete cascade,
  message_id    text references messages on delete set null,
  turn_id       text,
  score         real not null check (score >= 0 and score <= 1),
  text          text not null default '',
  source        text not null,                   -- api, rating (a reply to the question), tool, twilio
  created_at    timestamptz not null
);
create index feedback_by_account on feedback (account_id, id);
create index feedback_by_session on feedback (session_id);
create unique index feedback_rated_once on feedback (message_id) where source = 'rating';

create table corrections (
  id            text primary key,
  account_id    text not null references accounts on delete cascade,
  assistant_id  text not null references assistants on delete cascade,
  contact_id    text not null references contacts on delete cascade,
  turn_id       text not null,
  question      text not null,
  wrong         text not null,
  correct       text not null,
  made_by       text,
  answer_id     text references curated_answers on delete set null,
  created_at    timestamptz not null
);
create index corrections_by_account on corrections (account_id, id);

create function accounts_to_ask_for_ratings(at timestamptz) returns setof text
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select distinct s.account_id from public.sessions s where s.rate_at <= accounts_to_ask_for_ratings.at;
  end;
revoke all on function accounts_to_ask_for_ratings(timestamptz) from public;
grant execute on function accounts_to_ask_for_ratings(timestamptz) to hookflash_app;

do $$
declare t text;
begin
  foreach t in array array['experiments', 'feedback', 'corrections'] loop
    execute format('alter table %I enable row level security', t);
    execute format('create policy one_account on %I to hookflash_app using (account_id = current_account())'
                   ' with check (account_id = current_account())', t);
    execute format('grant select, insert, update, delete on %I to hookflash_app', t);
  end loop;
end $$;
"""


def upgrade() -> None:
    execute(SQL)
