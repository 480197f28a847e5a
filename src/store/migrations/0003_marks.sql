-- What each fact of a run led to, so that a replay of its journal can be compared with it.

create table marks (
    run text not null,
    seq bigint not null check (seq > 0),
    chain bytea not null check (octet_length(chain) = 32),
    records bytea not null check (octet_length(records) = 32),
    deeds text not null,
    primary key (run, seq)
);
comment on table marks is
    'one row per answer of the engine that was kept: digest of the journal up to its fact, digest of its rows, and its deeds in full as JSON (integers beyond 64 bits included)';

alter table notes add column run text;
