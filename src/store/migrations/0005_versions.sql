-- What the file of each strategy said, version by version.

create table strategy_versions (
    strategy text not null,
    version bigint not null check (version > 0),
    at timestamptz not null,
    reason text not null,
    diff jsonb not null,
    text text not null,
    primary key (strategy, version)
);
comment on table strategy_versions is
    'one row per version of a strategy''s file: why, what changed since the one before, and the whole text; kept before the file is written';
create trigger strategy_versions_are_facts before update or delete on strategy_versions
    for each row execute function refuse_change();
