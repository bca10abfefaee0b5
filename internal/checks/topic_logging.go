package checks

import (
	"gatehouse/internal/audit"
)

func logging() []audit.Check {
	return []audit.Check{
		loggingPerms(), loggingAuditdSafe(), timeSync(), timeSyncedNow(),
		loggingPersistent(), loggingNoListen(), loggingHAAuthLog(), loggingRotation(), timeChronyUser(), loggingSingle(), loggingRemote(), loggingAuditd(),
	}
}
