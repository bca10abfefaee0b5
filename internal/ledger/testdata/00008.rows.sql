-- What version 8 can hold beside. Whoever changes the schema copies this, and the
-- before fixture of version 8, to the next version's before fixture.
INSERT INTO handouts VALUES (x'd0', 'p1', 'Phone', 'certificate', 'c0ffef', 9000, x'0a0b', 1000, 5000);
