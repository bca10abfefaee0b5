package facts

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

// HAAdvisory is a hole in something of Home Assistant's that a release closed.
type HAAdvisory struct {
	ID      string
	Program string // "core", "supervisor", "android", "ios"
	Fixed   string // the first release without it
	What    string
}

// HAAdvisories are those that the auditor knows: of Home Assistant's page of past
// advisories, and of the records of the CVE programme, by November 2026. Where the two name
// different releases, the later one stands here.
func HAAdvisories() []HAAdvisory {
	return []HAAdvisory{
		{"CVE-2026-64824", "core", "2026.7.0", "a backup with a link in it runs code as root when it is restored, also before the onboarding"},
		{"CVE-2026-91130", "core", "2026.7.0", "names in a card of statistics run as script"},
		{"CVE-2026-54317", "core", "2026.6.0", "Konnected answers without a login"},
		{"CVE-2026-64825", "core", "2026.6.0", "the name of a backup leads out of its folder"},
		{"CVE-2026-33044", "core", "2026.1.0", "names on a map run as script"},
		{"CVE-2026-33045", "core", "2026.1.0", "names in a graph of the history run as script"},
		{"CVE-2025-62172", "core", "2025.10.2", "names on the energy page run as script"},
		{"CVE-2025-65713", "core", "2025.8.0", "the downloader writes out of its folder"},
		{"CVE-2025-25305", "core", "2024.1.6", "some outgoing connections do not check certificates"},
		{"CVE-2023-50715", "core", "2023.12.3", "the login page lists the accounts to the local network"},
		{"CVE-2023-41893", "core", "2023.9.0", "a login can be led to a stranger's page"},
		{"CVE-2023-41894", "core", "2023.9.0", "local webhooks are reached from the Internet"},
		{"CVE-2023-41895", "core", "2023.9.0", "a login link runs a stranger's script"},
		{"CVE-2023-41896", "core", "2023.9.0", "a login link connects to a stranger's server"},
		{"CVE-2023-41897", "core", "2023.9.0", "the page can be hidden in another one (clickjacking)"},
		{"CVE-2023-41899", "core", "2023.9.0", "an action for add-ons makes the Supervisor do anything"},
		{"CVE-2023-27482", "core", "2023.3.2", "the Supervisor obeys without a login"},
		{"supervisor #7122", "supervisor", "2026.8.0", "an add-on gets past the login of Home Assistant"},
		{"supervisor #7123", "supervisor", "2026.8.0", "an add-on gives orders to the Supervisor through Home Assistant"},
		{"CVE-2026-34205", "supervisor", "2026.3.2", "add-ons on the host's network answer the whole network without a login"},
		{"CVE-2023-27482", "supervisor", "2023.3.3", "it obeys without a login"},
		{"CVE-2026-59717", "android", "2026.6.1", "an invitation leads to a stranger's login page without showing its name"},
		{"CVE-2026-66060", "android", "2026.5.3", "any app on the phone forwards the links of tags"},
		{"CVE-2026-54318", "android", "2026.5.3", "any app on the phone forges the place it is at"},
		{"CVE-2026-44698", "android", "2026.4.4", "a page inside another one takes the token"},
		{"CVE-2026-66061", "ios", "2026.5.0", "any app on the phone forwards the links of tags"},
		{"CVE-2026-55844", "ios", "2026.5.0", "the token goes to the internal address in foreign networks"},
		{"CVE-2026-44698", "ios", "2026.4.1", "a page inside another one takes the token"},
	}
}

// HAAdvisoriesUntil is when the list is too old to call anything fine.
func HAAdvisoriesUntil() time.Time { return time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC) }

// CompareHANumbers compares releases that are numbers with points, whatever follows: -1 if
// a is older. ok is false if one of them is none.
func CompareHANumbers(a, b string) (order int, ok bool) {
	x, y := haNumbers(a), haNumbers(b)
	if len(x) == 0 || len(y) == 0 {
		return 0, false
	}
	for i := range max(len(x), len(y)) {
		var p, q int
		if i < len(x) {
			p = x[i]
		}
		if i < len(y) {
			q = y[i]
		}
		if c := cmp.Compare(p, q); c != 0 {
			return c, true
		}
	}
	return 0, true
}

func haNumbers(s string) (all []int) {
	for part := range strings.SplitSeq(s, ".") {
		digits := part[:len(part)-len(strings.TrimLeft(part, "0123456789"))]
		n, err := strconv.Atoi(digits)
		if err != nil {
			break
		}
		all = append(all, n)
		if digits != part {
			break
		}
	}
	return all
}
