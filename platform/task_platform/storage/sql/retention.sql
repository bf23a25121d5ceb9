-- name: delete_finished_tasks
-- One window of ids: delete what was finished long ago, with everything that belongs to it. A dead
-- task stays as long as its dead letter is open. Says where the window ended.
-- $1 after uuid, $2 before uuid (both exclusive), $3 window bigint, $4 age_s float8,
-- $5 terminal text[]
with scanned as materialized (
    select id, state, finished_at from tasks where id > $1 and id < $2 order by id limit $3
),
expired as materialized (
    select id
    from scanned
    where state = any($5::text[]) and finished_at < now() - $4::float8 * interval '1 second'
        and not exists (
            select from dead_letters d where d.task_id = scanned.id and d.resolved_at is null
        )
),
history as (
    delete from attempt_failures where task_id in (select id from expired)
),
ledger as (
    delete from effects where task_id in (select id from expired)
),
log as (
    delete from effect_log where task_id in (select id from expired)
),
letters as (
    delete from dead_letters where task_id in (select id from expired)
),
deleted as (
    delete from tasks where id in (select id from expired) returning id
)
select (select count(*) from deleted) as deleted,
    (select count(*) from scanned) as scanned,
    (select id from scanned order by id desc limit 1) as last_scanned;

-- name: delete_resolved_rowless
-- One window of dead letters: delete those that were resolved long ago and never had a task, or
-- have none any more.
-- $1 after uuid (exclusive), $2 window bigint, $3 age_s float8
with scanned as materialized (
    select task_id, resolved_at from dead_letters where task_id > $1 order by task_id limit $2
),
deleted as (
    delete from dead_letters
    where task_id in (
        select task_id
        from scanned
        where resolved_at < now() - $3::float8 * interval '1 second'
            and not exists (select from tasks t where t.id = scanned.task_id)
    )
    returning task_id
)
select (select count(*) from deleted) as deleted,
    (select count(*) from scanned) as scanned,
    (select task_id from scanned order by task_id desc limit 1) as last_scanned;

-- name: delete_expired_keys
-- Forget idempotency keys whose time is over. One that a submission is just taking over is left.
-- $1 limit bigint
with expired as materialized (
    select tenant, key
    from idempotency_keys
    where expires_at <= now()
    order by expires_at
    limit $1
    for update skip locked
),
deleted as (
    delete from idempotency_keys k
    using expired e
    where k.tenant = e.tenant and k.key = e.key
    returning k.key
)
select count(*) as deleted from deleted;
