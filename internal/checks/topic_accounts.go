package checks

import "gatehouse/internal/audit"

func accounts() []audit.Check {
	return []audit.Check{
		accountsUID0OnlyRoot(), accountsEmptyPassword(),
		accountsShadowed(), accountsHashStrength(), accountsDupUID(), accountsShadowGroupEmpty(), accountsSudoUserExists(), accountsRootPath(), accountsDotfiles(),
		accountsRootGID0(), accountsHashDefault(), accountsSystemShell(), accountsRootLockedOrStrong(), accountsHomeExists(), accountsPasswordInHistory(),
		accountsGIDExists(), accountsNologinLocked(), accountsLastChangePast(), accountsDeadUsers(), accountsUmask(), accountsRootUmask(),
		accountsPassMaxDays(), accountsPassWarn(), accountsInactive(), accountsTmout(),
	}
}
