package checks

import (
	"gatehouse/internal/audit"
)

func confinement() []audit.Check {
	return []audit.Check{confinementDockerDefault(), confinementEnabled(), confinementEnforce(), confinementSELinuxContext()}
}
