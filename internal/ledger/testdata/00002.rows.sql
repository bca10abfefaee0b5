-- What version 2 can hold beside.
INSERT INTO webhooks VALUES (x'f0', 'd1', 'ha1', 'a phone', 1000, 0);
INSERT INTO webhooks VALUES (x'f1', 'd2', 'ha2', 'another phone', 1000, 2000);
