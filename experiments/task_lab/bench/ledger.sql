-- name: is_over
-- Whether one task is terminal; null where it has no row.
-- $1 id uuid, $2 terminal text[]
select state = any($2::text[]) as is_over from tasks where id = $1;

-- name: count_open
-- Tasks of an id range that are not terminal.
-- $1 first_id uuid, $2 last_id uuid (inclusive), $3 terminal text[]
select count(*) as open from tasks where id between $1 and $2 and state <> all($3::text[]);

-- name: outcome
-- What became of an id range.
-- $1 first_id uuid, $2 last_id uuid (inclusive), $3 succeeded text, $4 expected result jsonb
select
    count(*) as total,
    count(*) filter (where state = $3 and result::jsonb = $4::jsonb) as succeeded,
    extract(epoch from max(finished_at))::float8 as last_finished_at
from tasks
where id between $1 and $2;

-- name: times
-- When the tasks of an id range were due, begun and finished, in unix seconds.
-- $1 first_id uuid, $2 last_id uuid (inclusive)
select
    id,
    extract(epoch from due_at)::float8 as due_at,
    extract(epoch from started_at)::float8 as started_at,
    extract(epoch from finished_at)::float8 as finished_at
from tasks
where id between $1 and $2;

-- name: everything
-- How many tasks there are, and the lowest and the highest id; null for none.
select
    (select count(*) from tasks) as tasks,
    (select id from tasks order by id limit 1) as first_id,
    (select id from tasks order by id desc limit 1) as last_id;

-- name: is_outbox_empty
-- Whether everything that was committed has reached the broker.
select not exists (select from outbox) as is_empty;

-- name: count_floor
-- Tasks that the bare loops have finished.
select count(*) as finished from task_lab_floor.tasks where state = 'SUCCEEDED';

-- name: count_by_state
-- How many tasks there are in each state.
select state, count(*) as tasks from tasks group by state;
