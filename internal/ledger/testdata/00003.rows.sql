-- What version 3 can hold beside. Whoever changes the schema copies this, and the
-- before fixture of version 3, to the next version's before fixture.
INSERT INTO programs VALUES (x'f2', 'd1', 'ha3', 'rest,websocket', '192.168.1.0/24', 9000, 0);
