-- name: cut_others
-- Ends every other session of this database; how many there were.
select count(pg_terminate_backend(pid)) as cut
from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid();

-- name: forbid_writes
-- From the next reload of the configuration on, every transaction is read only.
alter system set default_transaction_read_only = on;

-- name: allow_writes
-- Takes `forbid_writes` back, with the next reload.
alter system reset default_transaction_read_only;

-- name: reload
-- Makes every session read the configuration.
select pg_reload_conf();

-- name: is_read_only
-- Whether a transaction begun now may not write.
select current_setting('transaction_read_only') = 'on' as read_only;
