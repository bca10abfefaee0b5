package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haProcNet() audit.Check {
	return audit.Check{
		ID: "ha.unit-net", Title: "Home Assistant's unit says whom it may talk to, or where it may listen", Severity: finding.Low,
		Why:       "An integration that is taken over could otherwise open a door of its own to the whole network.",
		Fix:       "In a drop-in of the unit: SocketBindDeny=any with a SocketBindAllow= for each port (8123, 1900, 5353, 21063 for HomeKit), or IPAddressDeny= for what is not in the house.",
		Reference: []string{"systemd.resource-control(5), SocketBindAllow=", "systemd.resource-control(5), IPAddressDeny="},
		Needs:     audit.NeedHA | audit.NeedHost,
		Judge: haUnit(func(u facts.Unit) (string, []finding.Evidence) {
			deny, binds := u.All("Service", "IPAddressDeny"), u.All("Service", "SocketBindDeny")
			if len(deny) > 0 || len(binds) > 0 {
				return "limited", nil
			}
			return "anything", []finding.Evidence{haAtUnit(u, "SocketBindDeny")}
		}),
		ByHand: "Which ports your integrations listen on is not to be told from the files.",
	}
}
