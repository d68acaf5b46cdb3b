-- Transactional outbox: a row is written in the transaction of the fact that it
-- tells of, published with a publisher confirm, then deleted.
DO $$
DECLARE
    s text;
BEGIN
    FOREACH s IN ARRAY ARRAY['auth', 'sync', 'vault'] LOOP
        EXECUTE format($sql$
            CREATE TABLE %1$I.outbox (
                -- Order of writing; the relay publishes in this order where it can.
                seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                -- CloudEvents id: the same for every delivery.
                event_id     uuid NOT NULL UNIQUE,
                exchange     text NOT NULL CHECK (exchange IN ('latchkey.events', 'latchkey.jobs')),
                routing_key  text NOT NULL,
                -- CloudEvents type and subject.
                event_type   text NOT NULL,
                subject      text NOT NULL,
                payload      bytea NOT NULL,
                -- W3C trace context of the writer, so that one trace goes on.
                traceparent  text,
                created_at   timestamptz NOT NULL DEFAULT now()
            );

            CREATE FUNCTION %1$I.outbox_notify() RETURNS trigger
                LANGUAGE plpgsql AS
            $fn$
            BEGIN
                PERFORM pg_notify(%2$L, '');
                RETURN NULL;
            END
            $fn$;

            CREATE TRIGGER outbox_notify AFTER INSERT ON %1$I.outbox
                FOR EACH STATEMENT EXECUTE FUNCTION %1$I.outbox_notify();
        $sql$, s, 'latchkey_outbox_' || s);
    END LOOP;
END
$$;

GRANT SELECT, INSERT, UPDATE, DELETE ON auth.outbox TO latchkey_auth;
GRANT SELECT, INSERT, UPDATE, DELETE ON sync.outbox TO latchkey_sync;
GRANT SELECT, INSERT, UPDATE, DELETE ON vault.outbox TO latchkey_refresh;

-- Inbox: an event that was applied is not applied again. A shortcut only: the
-- unique keys of the tables themselves keep everything single.
CREATE TABLE sync.inbox (
    event_id    uuid PRIMARY KEY,
    consumer    text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX inbox_received_at ON sync.inbox (received_at);
GRANT SELECT, INSERT, DELETE ON sync.inbox TO latchkey_sync;
