INSERT INTO auth.outbox (event_id, exchange, routing_key, event_type, subject, payload)
VALUES ('00000000-0000-0000-0000-0000000000e1', 'latchkey.events', 'user.authenticated.v1', 'user.authenticated.v1', 's', 'x');
INSERT INTO sync.inbox (event_id, consumer) VALUES ('00000000-0000-0000-0000-0000000000e2', 'c');
