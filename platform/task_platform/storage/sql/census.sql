-- name: census_window
-- Count one window of ids, by state. Says where the window ended, how long ago the oldest of each
-- open state was submitted and, where they are few, which these are.
-- $1 after uuid, $2 before uuid (both exclusive), $3 window bigint, $4 terminal text[],
-- $5 few bigint
with scanned as materialized (
    select id, state, created_at from tasks where id > $1 and id < $2 order by id limit $3
)
select
    state,
    count(*) as tasks,
    extract(epoch from now() - min(created_at))::float8 as age_s,
    case when count(*) <= $5 then array_agg(id) filter (where state <> all($4::text[])) end as ids,
    (select id from scanned order by id desc limit 1) as last_scanned
from scanned
group by state;

-- name: census_tasks
-- Count these tasks, by state. Says how long ago the oldest of each state was submitted, and which
-- are terminal.
-- $1 ids uuid[], $2 terminal text[]
select
    state,
    count(*) as tasks,
    extract(epoch from now() - min(created_at))::float8 as age_s,
    array_agg(id) filter (where state = any($2::text[])) as ids
from tasks
where id = any($1::uuid[])
group by state;
