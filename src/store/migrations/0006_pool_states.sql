-- Pools as they were after one block, so that a start only replays the logs since.

create table pool_states (
    chain_id bigint not null,
    pool bytea not null check (octet_length(pool) in (20, 32)),
    block_number bigint not null,
    block_hash bytea not null check (octet_length(block_hash) = 32),
    form int not null,
    state bytea not null,
    written_at timestamptz not null default now(),
    primary key (chain_id, pool)
);
-- It is packed already.
alter table pool_states alter column state set storage external;
comment on table pool_states is
    'one row per pool: its state after a block, as its logs made it, JSON packed by gzip in the given version of its form; a cache that nothing relies on: it may be emptied at any time';
