-- A row of an outbox is no longer notified. PostgreSQL takes one lock of the whole instance for the
-- commit of a transaction that notified, so that such commits run one after the other. A service now
-- wakes its own relay, and a relay reads the outbox every 500 ms for the rows of other processes.
--
-- The functions are replaced, and the triggers stay: dropping a trigger would lock the table against
-- every sign-in. The next release drops both. Replicas of the previous version still listen, and
-- publish their rows when they poll, which is every two seconds, unless a relay of this version comes
-- first.
DO $$
DECLARE
    s text;
BEGIN
    FOREACH s IN ARRAY ARRAY['auth', 'sync', 'vault'] LOOP
        EXECUTE format($sql$
            CREATE OR REPLACE FUNCTION %1$I.outbox_notify() RETURNS trigger
                LANGUAGE plpgsql AS
            $fn$
            BEGIN
                RETURN NULL;
            END
            $fn$;
        $sql$, s);
    END LOOP;
END
$$;
