package checks

import (
	"gatehouse/internal/audit"
)

func filesystems() []audit.Check {
	return []audit.Check{
		filesystemsSUID(), filesystemsFileCaps(), filesystemsWorldWritable(), filesystemsPasswdPerms(), filesystemsStickyTmp(), filesystemsBackupRecent(),
		filesystemsTmpMount(), filesystemsShmMount(), filesystemsProcHidepid(), filesystemsUnowned(), filesystemsEtcShells(), filesystemsSwapEncrypted(),
		filesystemsVarHomeMount(), filesystemsDiskEncryption(), filesystemsRemovable(), filesystemsAIDE(),
	}
}
