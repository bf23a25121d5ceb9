-- name: count_unsettled
-- What the platform still has to do, and how many are dead and not resolved.
-- $1 first_id uuid, $2 terminal text[]
select
    (select count(*) from tasks where id >= $1 and state <> all($2::text[])) as tasks,
    (select count(*) from outbox) as outbox,
    (select count(*) from claims) as claims,
    (select count(*) from dead_letters where resolved_at is null) as dead;
