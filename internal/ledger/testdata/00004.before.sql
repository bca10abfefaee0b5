-- A row of each table, as version 3 writes them.
INSERT INTO secrets VALUES ('ha/token', x'00ff');
INSERT INTO people VALUES ('p1', 'Olga', 'olga', 'owner', 'ha1', 'Olga', x'0102', 59, 1000, 0);
INSERT INTO people VALUES ('p2', 'Ben', NULL, 'member', NULL, '', NULL, 0, 1000, 2000);
INSERT INTO recovery_codes VALUES (x'aa', 'p1');
INSERT INTO devices VALUES ('d1', 'p1', 'browser', 'Firefox on Linux', 1000, 2000, '203.0.113.7', 'https', 0);
INSERT INTO devices VALUES ('d2', 'p2', 'browser', 'A browser', 1000, 1000, '', 'lan', 2000);
INSERT INTO passkeys VALUES (x'bb', 'p1', 'd1', 'home.example', '{}', 1000, 2000);
INSERT INTO sessions VALUES ('s1', x'cc', 'd1', 1000, 2000, 0);
INSERT INTO sessions VALUES ('s2', x'cd', 'd2', 1000, 1000, 2000);
INSERT INTO invitations VALUES (x'dd', NULL, 1000, 2000);
INSERT INTO invitations VALUES (x'de', 'p1', 1000, 2000);
INSERT INTO refresh_tokens VALUES (x'ee', 'd1', 'ha1', 'https://home.example/', 'iss', 1000);
INSERT INTO access_tokens VALUES (x'ef', x'ee', 2000);
INSERT INTO webhooks VALUES (x'f0', 'd1', 'ha1', 'a phone', 1000, 0);
INSERT INTO webhooks VALUES (x'f1', 'd2', 'ha2', 'another phone', 1000, 2000);
INSERT INTO programs VALUES (x'f2', 'd1', 'ha3', 'rest,websocket', '192.168.1.0/24', 9000, 0);
