"""Curated answers, knowledge entries with descriptions, and indexes that lie elsewhere."""

from hookflash.db.migrations.upgrade import execute

revision = "0007"
down_revision = "0006"

SQL = """
alter table sources add column final_response boolean not null default false;
alter table sources add column secrets bytea;    -- of an index that lies elsewhere, sealed

create table curated_answers (
  id            text primary key,
  account_id    text not null references accounts on delete cascade,
  assistant_id  text references assistants on delete cascade,  -- null: of every assistant
  language      text,                            -- null: whatever the customer writes
  answer        text not null,
  state         text not null check (state in ('proposed', 'approved', 'rejected')),
  origin        text not null check (origin in ('staff', 'ticket', 'correction')),
  origin_id     text,                            -- the ticket or correction that it comes from
  hits          bigint not null default 0,
  last_hit_at   timestamptz,
  created_at    timestamptz not null default now(),
  updated_at    timestamptz not null default now()
);
create index curated_answers_by_account on curated_answers (account_id, id);
create unique index curated_answers_by_origin on curated_answers (account_id, origin, origin_id) where origin_id is not null;

create table curated_questions (
  id          bigint generated always as identity primary key,
  account_id  text not null references accounts on delete cascade,
  answer_id   text not null references curated_answers on delete cascade,
  question    text not null,
  normal      text not null,                     -- without case, punctuation and space
  model       text,                              -- whose vector it is
  vector      halfvec,
  hits        bigint not null default 0,
  unique (answer_id, normal)
);
create index curated_questions_by_words on curated_questions (account_id, normal);

do $$
declare t text;
begin
  foreach t in array array['curated_answers', 'curated_questions'] loop
    execute format('alter table %I enable row level security', t);
    execute format('create policy one_account on %I to hookflash_app using (account_id = current_account())'
                   ' with check (account_id = current_account())', t);
    execute format('grant select, insert, update, delete on %I to hookflash_app', t);
  end loop;
end $$;
"""


def upgrade() -> None:
    execute(SQL)
