package ledger

func writeUntilKilled(string) {}
