-- Creates the roles, or updates their passwords and rights. The superuser runs it before and after each migration.
-- moon_vision_migrations owns the tables and changes them. moon_vision, the role of web and workers, reads and writes rows.
-- moon_vision_metrics reads what the exporter of the metrics shows.
\set ON_ERROR_STOP on
\getenv database POSTGRES_DB
\getenv app_password APP_PASSWORD
\getenv migrations_password MIGRATIONS_PASSWORD
\getenv metrics_password METRICS_PASSWORD

SELECT format('CREATE ROLE %I', name) FROM unnest(ARRAY['moon_vision', 'moon_vision_migrations', 'moon_vision_metrics']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE moon_vision LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'app_password';
ALTER ROLE moon_vision_migrations LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
  PASSWORD :'migrations_password';
ALTER ROLE moon_vision_metrics LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'metrics_password';

ALTER DATABASE :"database" OWNER TO moon_vision_migrations;
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO moon_vision, moon_vision_metrics;
GRANT TEMPORARY ON DATABASE :"database" TO moon_vision; -- manage.py reconcile_media
ALTER SCHEMA public OWNER TO moon_vision_migrations;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO moon_vision, moon_vision_metrics;

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO moon_vision;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO moon_vision;
ALTER DEFAULT PRIVILEGES FOR ROLE moon_vision_migrations IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO moon_vision;
ALTER DEFAULT PRIVILEGES FOR ROLE moon_vision_migrations IN SCHEMA public
  GRANT USAGE, SELECT ON SEQUENCES TO moon_vision;

-- These tables only: others hold hashes of tokens, and secrets of webhooks. Before the first migration, there are none.
SELECT format('GRANT SELECT ON %I TO moon_vision_metrics', tablename) FROM pg_tables
WHERE schemaname = 'public' AND tablename IN ('classification_inference', 'classification_outage', 'django_migrations') \gexec
-- How many deliveries are due, for KEDA: deploy/kubernetes/components/autoscaling/webhooks.yml
SELECT 'GRANT SELECT (status, next_attempt_at) ON webhooks_webhookdelivery TO moon_vision_metrics' FROM pg_tables
WHERE schemaname = 'public' AND tablename = 'webhooks_webhookdelivery' \gexec
