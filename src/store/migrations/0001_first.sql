-- Money, decisions and deeds. Facts are appended; only states move, and only forward.

create table entries (
    id uuid primary key,
    seq bigint not null,
    at timestamptz not null,
    kind text not null,
    cause text not null,
    chain_id bigint,
    block_hash bytea check (octet_length(block_hash) = 32),
    unique (kind, cause)
);
comment on table entries is 'one balanced act of the ledger; written by the keeper with every money fact';

create table postings (
    entry_id uuid not null references entries (id),
    line int not null,
    account text not null,
    unit text not null,
    amount numeric(78, 0) not null check (amount <> 0),
    primary key (entry_id, line)
);
comment on table postings is 'lines of an entry, integers in the smallest step of the unit; sums to zero per entry and unit';
create index postings_by_place on postings (account, unit);

create table tx_slots (
    chain_id bigint not null,
    signer bytea not null check (octet_length(signer) = 20),
    nonce bigint not null check (nonce >= 0),
    intent uuid not null,
    strategy text not null,
    purpose text not null check (purpose in ('approve', 'mint', 'withdraw', 'swap')),
    pool bytea check (octet_length(pool) = 20),
    tick_lower int,
    tick_upper int,
    hash bytea not null unique check (octet_length(hash) = 32),
    raw bytea not null,
    state text not null check (state in ('signed', 'broadcast', 'included', 'reverted', 'final', 'foreign')),
    created_at timestamptz not null,
    block_number bigint,
    block_hash bytea check (octet_length(block_hash) = 32),
    gas_used bigint,
    cost_wei numeric(78, 0),
    primary key (chain_id, signer, nonce)
);
comment on table tx_slots is 'one row per nonce, stored with its signed bytes before anything is sent';

create table orders (
    client_order_id text primary key check (char_length(client_order_id) <= 32),
    venue text not null,
    symbol text not null,
    side text not null check (side in ('buy', 'sell')),
    price numeric not null,
    quantity numeric not null,
    time_in_force text not null check (time_in_force in ('gtc', 'ioc', 'post_only')),
    reduce_only boolean not null,
    valid_until timestamptz not null,
    intent uuid not null,
    strategy text not null,
    state text not null,
    is_open boolean not null,
    filled numeric not null,
    why text not null,
    created_at timestamptz not null
);
comment on table orders is 'one row per order, stored with its full request before it is sent';
create index orders_open on orders (venue) where is_open;

create table fills (
    venue text not null,
    symbol text not null,
    trade_id bigint not null,
    venue_order_id bigint not null,
    side text not null check (side in ('buy', 'sell')),
    price numeric not null,
    quantity numeric not null,
    fee numeric not null,
    fee_asset text not null,
    realized_pnl numeric not null,
    cash numeric not null,
    venue_time timestamptz not null,
    primary key (venue, symbol, trade_id)
);
comment on table fills is 'one row per trade of ours, by the venue''s own id';

create table positions (
    chain_id bigint not null,
    token_id numeric(78, 0) not null,
    pool bytea not null check (octet_length(pool) = 20),
    strategy text not null,
    tick_lower int not null,
    tick_upper int not null,
    liquidity numeric(39, 0) not null,
    amount0 numeric(78, 0) not null,
    amount1 numeric(78, 0) not null,
    inside0 numeric(78, 0),
    inside1 numeric(78, 0),
    opened_at timestamptz not null,
    closed_at timestamptz,
    collected0 numeric(78, 0) not null,
    collected1 numeric(78, 0) not null,
    fees0 numeric(78, 0) not null,
    fees1 numeric(78, 0) not null,
    gas_wei numeric(78, 0) not null,
    blocks_in_range bigint not null,
    blocks_total bigint not null,
    closed_price numeric,
    primary key (chain_id, token_id)
);
comment on table positions is 'one row per liquidity NFT; replaced at every change';

create table cursors (
    chain_id bigint primary key,
    number bigint not null,
    hash bytea not null check (octet_length(hash) = 32)
);
comment on table cursors is 'everything up to this block is in the ledger; moves in the same commit';

create table notes (
    id bigint generated always as identity primary key,
    seq bigint not null,
    at timestamptz not null,
    kind text not null,
    body jsonb not null
);
comment on table notes is 'decisions, refusals and changes of mode, for the audit';

create table memory (
    key text primary key,
    value jsonb not null
);
comment on table memory is 'small values that outlive a restart, replaced by key';

create table reconciliations (
    id bigint generated always as identity primary key,
    at timestamptz not null,
    place text not null,
    unit text not null,
    ledger numeric(78, 0) not null,
    actual numeric(78, 0) not null,
    true_at text not null
);
comment on table reconciliations is 'comparisons of the ledger with the world whenever the verdict changed';

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name;
end
$$;
create trigger entries_are_facts before update or delete on entries
    for each row execute function refuse_change();
create trigger postings_are_facts before update or delete on postings
    for each row execute function refuse_change();
create trigger fills_are_facts before update or delete on fills
    for each row execute function refuse_change();
