package checks

import "gatehouse/internal/audit"

func sshTunnels() []audit.Check {
	return []audit.Check{
		tunnelRestrict(),
		tunnelNoShell(),
		tunnelPermitlisten(),
		tunnelOutgoing(),
		tunnelOrigin(),
	}
}
