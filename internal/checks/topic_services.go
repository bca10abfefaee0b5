package checks

import "gatehouse/internal/audit"

func services() []audit.Check { return nil }
