-- Cycles of pools: their transactions, and what became of every one that was seen.

alter table tx_slots drop constraint tx_slots_purpose_check;
alter table tx_slots add constraint tx_slots_purpose_check
    check (purpose in ('approve', 'mint', 'withdraw', 'swap', 'cycle'));

create table opportunities (
    id uuid primary key,
    chain_id bigint not null,
    strategy text not null,
    block_number bigint not null,
    seen_at timestamptz not null,
    route text not null,
    token text not null,
    amount_in numeric not null,
    gross numeric,
    gas numeric,
    fees numeric,
    slippage numeric,
    failure_probability numeric,
    expected_net numeric,
    realised_net numeric,
    fate text not null
        check (fate in ('skipped', 'found', 'sent', 'landed', 'lost', 'reverted')),
    why text not null,
    hash bytea check (octet_length(hash) = 32)
);
comment on table opportunities is
    'one row per cycle seen, with every cost expected, its fate and what it really brought; the fate moves on';
create index opportunities_newest on opportunities (seen_at desc);

-- The height of the block a fact stands on: by it a start finds what a reorganisation removed.
alter table entries add column block_number bigint;
create index entries_by_block on entries (chain_id, block_number);
