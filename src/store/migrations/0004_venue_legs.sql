-- Pools against exchanges: the leg that a swap leaves to an exchange, and how far it is.

alter table opportunities add column leg jsonb;
comment on table opportunities is
    'one row per opportunity seen, with every cost expected, its fate and what it really brought; the fate moves on';
comment on column opportunities.leg is
    'null for a cycle of pools; else what was to be traded on which exchange, and what was';
create index opportunities_open on opportunities (seen_at)
    where fate in ('found', 'sent') or leg ->> 'state' = 'due';
