package checks

import "gatehouse/internal/audit"

func authentication() []audit.Check {
	return []audit.Check{
		authenticationSudoHAUser(),
		authenticationNullok(), authenticationSudoNopasswd(), authenticationSudoPerms(),
		authenticationFaillock(), authenticationSudoInstalled(), authenticationSudoTimestamp(),
		authenticationPwquality(), authenticationSuWheel(), authenticationSudoUsePty(),
		authenticationFaillockRoot(), authenticationPwqualityDetails(), authenticationPwhistory(), authenticationSSHSecondFactor(), authenticationSudoLogfile(),
	}
}
