-- name: get_task
-- One task of a tenant, and its newest attempts that did not succeed, newest first.
-- $1 tenant text, $2 id uuid, $3 most_failures bigint
select t.*, array(
    select row (attempt, worker, started_at, ended_at, outcome, error_type, message)
    from attempt_failures
    where task_id = t.id
    order by fence desc
    limit $3
) as failures
from tasks t
where t.tenant = $1 and t.id = $2;

-- name: list_tasks
-- Newest first, within one bounded window of ids, so that a rare state never scans all history.
-- Ends behind the task with which payloads and results together have reached so many bytes.
-- Every row repeats where the window ended, whether it was full, and how many tasks would have fit
-- if they were small.
-- $1 tenant text, $2 before uuid (null: the newest), $3 window bigint, $4 state text (null: any),
-- $5 task_type text (null: any), $6 limit bigint, $7 enough_bytes bigint
with scanned as materialized (
    select id, tenant, state, task_type
    from tasks
    -- One comparison, so that the key's index serves every page.
    where id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
    order by id desc
    limit $3
),
matching as (
    select id from scanned
    where tenant = $1
        and ($4::text is null or state = $4)
        and ($5::text is null or task_type = $5)
    order by id desc
    limit $6
),
measured as (
    select tasks.*,
        coalesce(
            sum(octet_length(payload::text) + coalesce(octet_length(result::text), 0)) over (
                order by id desc rows between unbounded preceding and 1 preceding
            ),
            0
        ) as bytes_before
    from tasks join matching using (id)
),
edge as (
    select (select count(*) from scanned) as scanned,
        (select id from scanned order by id limit 1) as last_scanned,
        (select count(*) from matching) as matching
)
select edge.scanned, edge.last_scanned, edge.matching, t.*
from edge
left join (select * from measured where bytes_before < $7) t on true
order by t.id desc;
