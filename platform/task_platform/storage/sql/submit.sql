-- name: insert_tasks
-- Commit tasks without idempotency keys, with one outbox row for all of them.
-- $1 ids uuid[], $2 tenants text[], $3 task_types text[], $4 payloads text[],
-- $5 max_retries smallint[], $6 grace_s float8 (how long the outbox row is left to the submitter)
with new_tasks as (
    insert into tasks (id, tenant, task_type, payload, max_retries)
    select id, tenant, task_type, payload::json, max_retries
    from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::smallint[])
        as input (id, tenant, task_type, payload, max_retries)
    returning id
)
insert into outbox (queue, task_ids, due_at, available_at)
select 'tasks', array_agg(id), now(), now() + $6::float8 * interval '1 second'
from new_tasks
having count(*) > 0
returning id as outbox_id, task_ids, due_at as created_at;

-- name: insert_keyed_tasks
-- The same for a batch in which some tasks carry an idempotency key (each key at most once).
-- A task whose key is taken is not inserted; an expired key is taken over.
-- $1 to $6 as above, $7 keys text[] (null: none), $8 fingerprints bytea[], $9 key_ttl_s float8
-- Returns also when its keys will expire.
with input as materialized (
    select *
    from unnest(
        $1::uuid[], $2::text[], $3::text[], $4::text[], $5::smallint[], $7::text[], $8::bytea[]
    ) as input (id, tenant, task_type, payload, max_retries, key, fingerprint)
),
taken_keys as (
    insert into idempotency_keys as existing (tenant, key, fingerprint, task_id, expires_at)
    select tenant, key, fingerprint, id, now() + $9::float8 * interval '1 second'
    from input
    where key is not null
    order by tenant, key
    on conflict (tenant, key) do update
    set fingerprint = excluded.fingerprint,
        task_id = excluded.task_id,
        expires_at = excluded.expires_at
    where existing.expires_at <= now()
    returning task_id
),
new_tasks as (
    insert into tasks (id, tenant, task_type, payload, max_retries)
    select id, tenant, task_type, payload::json, max_retries
    from input
    where key is null or id in (select task_id from taken_keys)
    returning id
)
insert into outbox (queue, task_ids, due_at, available_at)
select 'tasks', array_agg(id), now(), now() + $6::float8 * interval '1 second'
from new_tasks
having count(*) > 0
returning id as outbox_id, task_ids, due_at as created_at,
    now() + $9::float8 * interval '1 second' as keys_expire_at;

-- name: find_key_holders
-- What holds these idempotency keys: the tasks as they are now, or nulls where a key outlived its
-- task. An expired key without a task holds nothing.
-- $1 tenants text[], $2 keys text[]
select k.tenant as key_tenant, k.key, k.fingerprint, k.expires_at, t.*
from unnest($1::text[], $2::text[]) as wanted (tenant, key)
join idempotency_keys k using (tenant, key)
left join tasks t on t.id = k.task_id
where t.id is not null or k.expires_at > now();
