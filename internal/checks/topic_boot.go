package checks

import (
	"gatehouse/internal/audit"
)

func boot() []audit.Check {
	return []audit.Check{bootCmdline(), bootGrubPerms(), bootGrubPassword(), bootSecure(), bootEmergency()}
}
