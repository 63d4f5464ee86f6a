"""Web pages as knowledge: what was crawled, when, and what the server said of it."""

from hookflash.db.migrations.upgrade import execute

revision = "0005"
down_revision = "0004"

SQL = """
alter table sources drop constraint sources_kind_check;
alter table sources add constraint sources_kind_check check (kind in ('text', 'file', 'web', 'database'));
alter table sources add column config jsonb not null default '{}';  -- of a site: url, depth, pages, every_hours

create table crawls (                            -- the last crawl of a site, or the one under way
  source_id   text primary key references sources on delete cascade,
  account_id  text not null references accounts on delete cascade,
  state       text not null default 'QUEUED' check (state in ('QUEUED', 'PROCESSING', 'COMPLETED', 'FAILED')),
  reason      text,
  due_at      timestamptz,                       -- when it is crawled again by itself
  began_at    timestamptz,
  ended_at    timestamptz
);
create index crawls_due on crawls (account_id, due_at) where due_at is not null;

create table web_pages (
  id             text primary key,
  account_id     text not null references accounts on delete cascade,
  source_id      text not null references sources on delete cascade,
  url            text not null,                  -- the page's own address
  fetched_from   text not null,                  -- the address that was asked
  document_id    text references documents on delete set null,
  reason         text,                           -- why it could not be had the last time
  etag           text,
  last_modified  text,
  links          text[] not null default '{}',   -- where it leads, for when it has not changed
  checked_at     timestamptz not null,
  created_at     timestamptz not null default now(),
  unique (source_id, url)
);
create index web_pages_by_account on web_pages (account_id, id);
create index web_pages_by_document on web_pages (document_id);

do $$
declare t text;
begin
  foreach t in array array['crawls', 'web_pages'] loop
    execute format('alter table %I enable row level security', t);
    execute format('create policy one_account on %I to hookflash_app using (account_id = current_account())'
                   ' with check (account_id = current_account())', t);
    execute format('grant select, insert, update, delete on %I to hookflash_app', t);
  end loop;
end $$;
"""


def upgrade() -> None:
    execute(SQL)
