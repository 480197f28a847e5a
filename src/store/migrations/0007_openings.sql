-- Pools that factories opened, as their logs told, so that a start only searches the blocks since.

create table searches (
    chain_id bigint not null,
    sources text not null,
    coins text not null,
    from_block bigint not null check (from_block >= 0),
    next_block bigint not null check (next_block >= from_block),
    written_at timestamptz not null default now(),
    primary key (chain_id, sources, coins)
);
comment on table searches is
    'one row per search: on which chain, by which contracts and between which coins, from which block on, and the first block that is not searched yet; a cache: it may be emptied while no keeper runs';

create table openings (
    chain_id bigint not null,
    source bytea not null check (octet_length(source) = 20),
    pool bytea not null check (octet_length(pool) in (20, 32)),
    dex text not null,
    coin0 bytea not null check (octet_length(coin0) = 20),
    coin1 bytea not null check (octet_length(coin1) = 20),
    fee_pips bigint not null,
    tick_spacing int,
    hooks bytea check (octet_length(hooks) = 20),
    block_number bigint not null,
    primary key (chain_id, source, pool)
);
comment on table openings is
    'one row per pool that a search found, whether it is watched or not: its factory or, of V4, its manager, and what makes it; emptied alone it loses pools';
