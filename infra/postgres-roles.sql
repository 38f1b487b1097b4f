-- Who may do what in a domain's PostgreSQL database (laws 5 and 7; least privilege: GB/T 22239-2019, 8.1.4).
--
--   shuzha_owner    owns the tables; migrations run as a login in it, and nothing else does
--   shuzha_app      the platform at work: the log and what was decided it may add to, never change or take away
--   shuzha_auditor  reads the log and its proofs; no table of persons, grants or products
--
-- Safe to run again; after every migration it must be. As the database's owner or a superuser:
--
--   psql -v ON_ERROR_STOP=1 -d DATABASE -f infra/postgres-roles.sql
--
-- The three have no login of their own: GRANT shuzha_app TO the_login_in_domain_toml.

BEGIN;

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['shuzha_owner', 'shuzha_app', 'shuzha_auditor'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE', wanted);
        END IF;
    END LOOP;
    -- A temporary table of the same name would stand before the real one.
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM shuzha_app, shuzha_auditor', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO shuzha_owner, shuzha_app, shuzha_auditor', current_database());
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO shuzha_app, shuzha_auditor;
GRANT USAGE, CREATE ON SCHEMA public TO shuzha_owner;

DO $$
DECLARE
    found record;
BEGIN
    FOR found IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('ALTER TABLE public.%I OWNER TO shuzha_owner', found.tablename);
        EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC, shuzha_app, shuzha_auditor', found.tablename);
        -- A table of a later migration can be added to and read; more has to be written below.
        EXECUTE format('GRANT SELECT, INSERT ON public.%I TO shuzha_app', found.tablename);
    END LOOP;
END
$$;

REVOKE INSERT ON alembic_version FROM shuzha_app;

-- What has a state, or a person's confirmation, that moves. Not here, so added to alone: every log_ table, votes, approvals,
-- versions, provisioned tables, and the ledgers of bits and of record sets.
GRANT UPDATE ON
    agreement, dataset, dataset_column, export, granted, organisation, person, promotion, request, run, scenario
TO shuzha_app;
GRANT UPDATE (revoked) ON token TO shuzha_app;
-- The charge itself stands; the answer measured for it comes afterwards (law 3).
GRANT UPDATE (answer) ON budget_charge TO shuzha_app;
GRANT DELETE ON person_role TO shuzha_app;

GRANT SELECT ON log_entry, log_payload, log_node, log_subject, log_checkpoint, alembic_version TO shuzha_auditor;

COMMIT;
