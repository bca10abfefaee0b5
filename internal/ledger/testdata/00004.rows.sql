-- What version 4 can hold beside. Whoever changes the schema copies this, and the
-- before fixture of version 4, to the next version's before fixture.
INSERT INTO residents VALUES ('r1', 'app', 'ha1', 'Olga', 'https://home-assistant.io/android', 'iss1', 'Phone', 'a phone', '192.168.1.9', 1000, 2000, 0);
INSERT INTO resident_secrets VALUES (x'a0', 'r1', 'refresh', 'iss1', 0);
INSERT INTO resident_secrets VALUES (x'a1', 'r1', 'access', 'iss1', 9000);
INSERT INTO resident_secrets VALUES (x'a2', 'r1', 'webhook', '', 0);
INSERT INTO sources VALUES ('192.168.1.40', 'd1');
INSERT INTO refresh_tokens VALUES (x'e0', 'd1', 'ha1', '', 'iss2', 1000, 1);
INSERT INTO webhooks VALUES (x'f3', 'd1', '', '', 1000, 0, 1, 1, 'POST,PUT', 30);
