-- What version 5 can hold beside. Whoever changes the schema copies this, and the
-- before fixture of version 5, to the next version's before fixture.
INSERT INTO guard VALUES ('source', '203.0.113.7/32', 2, 7.5, 1000, 9000, 1000, 'ha-login', 'failures', '203.0.113.7', '5 failures', NULL);
INSERT INTO guard VALUES ('ban', '198.51.100.0/24', 0, 0, 1000, 0, 0, '', 'owner', '', 'noisy', NULL);
INSERT INTO guard VALUES ('allow', '192.168.1.0/24', 0, 0, 1000, 0, 0, '', '', '', 'home', NULL);
INSERT INTO guard VALUES ('account', 'c0ffee', 1, 3, 0, 9000, 1000, 'sign-in', '', '', '', x'f9');
INSERT INTO guard VALUES ('clock', '', 0, 0, 0, 0, 5000, '', '', '', '', NULL);
