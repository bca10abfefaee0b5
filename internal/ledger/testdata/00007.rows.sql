-- What version 7 can hold beside. Whoever changes the schema copies this, and the
-- before fixture of version 7, to the next version's before fixture.
INSERT INTO device_keys VALUES ('peer', 'fE/wdxzl0klVp/IR8UcaoGUMjqaWi3jAd7KzHKFS6Ds=', 'd1', '{"addresses":["10.9.0.2"]}', 1000, 0);
INSERT INTO device_keys VALUES ('certificate', 'c0ffee', 'd2', '', 1000, 9000);
