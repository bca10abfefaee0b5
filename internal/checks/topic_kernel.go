package checks

import (
	"gatehouse/internal/audit"
)

func kernel() []audit.Check {
	return []audit.Check{
		kernelASLR(), kernelRunningLatest(),
		kernelPtrace(), kernelSUIDDumpable(), kernelKptr(), kernelBPF(), kernelLinks(), kernelRedirects(), kernelSourceRoute(), kernelCPUVulns(),
		kernelKexecSysrq(), kernelMmapMin(), kernelForwarding(), kernelRPFilter(), kernelSyncookies(), kernelModules(),
		kernelUserns(), kernelMartians(), kernelAcceptRA(), kernelLockdown(),
	}
}
