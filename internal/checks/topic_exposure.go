package checks

import "gatehouse/internal/audit"

func exposure() []audit.Check { return nil }
