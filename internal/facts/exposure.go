package facts

import (
	_ "embed" // syscallsText
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// syscallsText are systemd's groups of system calls (systemd.exec(5), SystemCallFilter=), a
// group a line: its name, then its members.
//
//go:embed syscalls.txt
var syscallsText string

// syscallGroups are those groups.
func syscallGroups() map[string][]string {
	groups := map[string][]string{}
	for line := range strings.Lines(syscallsText) {
		if words := strings.Fields(line); len(words) > 1 {
			groups[words[0]] = words[1:]
		}
	}
	return groups
}

// exposed is what a service may do that it may not need: how much it weighs, and how much
// of that is so, of a whole.
type exposed struct {
	name        string
	weight      int
	part, whole int
}

// Exposure is how much of a machine a service may reach, as systemd-analyze(1) counts it
// under "security": from 0, nothing, to 100, everything; and what adds most to it.
func (u Unit) Exposure() (score int, most []string) {
	var sum, whole int
	all := u.exposures()
	for _, e := range all {
		sum += (e.part*e.weight + e.whole - 1) / e.whole
		whole += e.weight
	}
	slices.SortStableFunc(all, func(a, b exposed) int { return b.part*b.weight/b.whole - a.part*a.weight/a.whole })
	const many = 5
	for _, e := range all[:many] {
		if e.part > 0 {
			most = append(most, e.name)
		}
	}
	return (sum*100 + whole - 1) / whole, most
}

// yes reports whether a setting of a service is one of systemd's words for true.
func (u Unit) yes(key string) bool {
	s, _ := u.Last("Service", key)
	return slices.Contains([]string{"1", "yes", "y", "true", "t", "on"}, strings.ToLower(s.Value))
}

func (u Unit) value(key string) string {
	s, _ := u.Last("Service", key)
	return s.Value
}

// exposures are all that is weighed. The weights are those of systemd.
func (u Unit) exposures() (all []exposed) {
	add := func(weight int, name string, bad bool) {
		part := 0
		if bad {
			part = 1
		}
		all = append(all, exposed{name, weight, part, 1})
	}
	of := func(weight int, name string, part, whole int) { all = append(all, exposed{name, weight, part, whole}) }
	own, user := u.yes("DynamicUser"), u.value("User")
	root := user == "root" || user == "0" || user == "" && !own
	start, _ := u.Last("Unit", "DefaultDependencies")
	late := !slices.Contains([]string{"0", "no", "n", "false", "f", "off"}, strings.ToLower(start.Value))

	switch {
	case user == "nobody":
		of(2000, "User", 9, 10)
	default:
		add(2000, "User", root)
	}
	if !root {
		add(200, "SupplementaryGroups", len(u.All("Service", "SupplementaryGroups")) > 0)
		add(100, "RemoveIPC", !u.yes("RemoveIPC") && !own)
	}
	for _, key := range []string{"PrivateDevices", "PrivateMounts", "PrivateUsers", "ProtectControlGroups", "ProtectKernelModules", "ProtectKernelTunables", "ProtectKernelLogs", "ProtectClock"} {
		add(1000, key, !u.yes(key) && !slices.Contains([]string{"self", "identity", "full", "private", "strict"}, u.value(key)))
	}
	add(2500, "PrivateNetwork", !u.yes("PrivateNetwork"))
	if late {
		add(1000, "PrivateTmp", !u.yes("PrivateTmp") && u.value("PrivateTmp") != "disconnected" && !own)
		home, system := u.value("ProtectHome"), u.value("ProtectSystem")
		switch {
		case u.yes("ProtectHome"):
			add(1000, "ProtectHome", false)
		case home == "tmpfs":
			of(1000, "ProtectHome", 1, 10)
		case home == "read-only" || own:
			of(1000, "ProtectHome", 5, 10)
		default:
			add(1000, "ProtectHome", true)
		}
		switch {
		case system == "strict" || own:
			add(1000, "ProtectSystem", false)
		case system == "full":
			of(1000, "ProtectSystem", 3, 10)
		case u.yes("ProtectSystem"):
			of(1000, "ProtectSystem", 5, 10)
		default:
			add(1000, "ProtectSystem", true)
		}
		elsewhere := func(key string) bool { v := u.value(key); return v != "" && strings.Trim(v, "/") != "" }
		add(200, "RootDirectory", !elsewhere("RootDirectory") && !elsewhere("RootImage"))
	}
	add(50, "ProtectHostname", !u.yes("ProtectHostname") && u.value("ProtectHostname") != "private")
	add(100, "LockPersonality", !u.yes("LockPersonality"))
	add(100, "MemoryDenyWriteExecute", !u.yes("MemoryDenyWriteExecute"))
	add(1000, "NoNewPrivileges", !u.yes("NoNewPrivileges") && !own)
	caps := u.capabilities()
	for _, c := range []struct {
		weight int
		names  string
	}{
		{1500, "SYS_ADMIN"}, {1500, "SETUID SETGID SETPCAP"}, {1500, "SYS_PTRACE"}, {1000, "SYS_TIME"}, {1000, "NET_ADMIN"}, {1000, "SYS_RAWIO"},
		{1000, "SYS_MODULE"}, {500, "AUDIT_CONTROL AUDIT_READ AUDIT_WRITE"}, {500, "SYSLOG"}, {500, "SYS_NICE SYS_RESOURCE"}, {500, "MKNOD"},
		{1000, "CHOWN FSETID SETFCAP"}, {1000, "DAC_OVERRIDE DAC_READ_SEARCH FOWNER IPC_OWNER"}, {500, "KILL"},
		{500, "NET_BIND_SERVICE NET_BROADCAST NET_RAW"}, {100, "SYS_BOOT"}, {100, "MAC_ADMIN MAC_OVERRIDE"}, {75, "LINUX_IMMUTABLE"},
		{50, "IPC_LOCK"}, {50, "SYS_CHROOT"}, {25, "BLOCK_SUSPEND"}, {25, "WAKE_ALARM"}, {25, "LEASE"}, {25, "SYS_TTY_CONFIG"}, {25, "SYS_PACCT"}, {25, "BPF"},
	} {
		add(c.weight, "CapabilityBoundingSet ("+c.names+")", slices.ContainsFunc(strings.Fields(c.names), func(n string) bool { return caps("CAP_" + n) }))
	}
	mask, err := strconv.ParseUint(u.value("UMask"), 8, 32)
	if err != nil {
		mask = 0o022
	}
	umask := 0
	for _, m := range []struct {
		bit  uint64
		part int
	}{{0o002, 10}, {0o004, 5}, {0o020, 2}, {0o040, 1}} {
		if mask&m.bit == 0 {
			umask = m.part
			break
		}
	}
	of(100, "UMask", umask, 10)
	mode := u.value("KeyringMode")
	add(1000, "KeyringMode", mode == "inherit" || mode == "shared")
	switch u.value("ProtectProc") {
	case "invisible", "ptraceable":
		add(1000, "ProtectProc", false)
	case "noaccess":
		of(1000, "ProtectProc", 1, 3)
	default:
		add(1000, "ProtectProc", true)
	}
	add(10, "ProcSubset", u.value("ProcSubset") != "pid")
	add(1000, "NotifyAccess", u.value("NotifyAccess") == "all")
	delegated := u.value("Delegate")
	add(100, "Delegate", delegated != "" && (u.yes("Delegate") || !slices.Contains([]string{"0", "no", "n", "false", "f", "off"}, strings.ToLower(delegated))))
	add(500, "RestrictRealtime", !u.yes("RestrictRealtime"))
	add(1000, "RestrictSUIDSGID", !u.yes("RestrictSUIDSGID") && !own)
	u.namespaces(add)
	u.families(add)
	u.systemCalls(of)
	u.addresses(of)
	policy := u.value("DevicePolicy")
	if u.yes("PrivateDevices") && (policy == "" || policy == "auto") {
		policy = "closed"
	}
	switch {
	case policy != "closed" && policy != "strict":
		add(1000, "DeviceAllow", true)
	case len(u.All("Service", "DeviceAllow")) > 0 || u.yes("ProtectClock"):
		of(1000, "DeviceAllow", 5, 10)
	default:
		add(1000, "DeviceAllow", false)
	}
	add(500, "AmbientCapabilities", u.ambient())
	return all
}

// ambient reports whether a service is given capabilities.
func (u Unit) ambient() bool {
	given := map[string]bool{}
	for _, s := range u.All("Service", "AmbientCapabilities") {
		words, taken := strings.CutPrefix(s.Value, "~")
		for _, w := range strings.Fields(words) {
			given[strings.ToUpper(w)] = !taken
		}
		if taken && len(given) == 0 {
			return true // all but none
		}
	}
	for _, g := range given {
		if g {
			return true
		}
	}
	return false
}

// capabilities says which a service may keep or gain.
func (u Unit) capabilities() func(name string) bool {
	named, rest, said := map[string]bool{}, true, false
	for _, s := range u.All("Service", "CapabilityBoundingSet") {
		words, taken := strings.CutPrefix(s.Value, "~")
		if !said && !taken {
			rest = false
		}
		said = true
		for _, w := range strings.Fields(words) {
			named[strings.ToUpper(w)] = !taken
		}
	}
	for _, p := range []struct{ key, names string }{
		{"PrivateDevices", "CAP_MKNOD CAP_SYS_RAWIO"}, {"ProtectKernelModules", "CAP_SYS_MODULE"}, {"ProtectKernelLogs", "CAP_SYSLOG"}, {"ProtectClock", "CAP_SYS_TIME CAP_WAKE_ALARM"},
	} {
		if u.yes(p.key) {
			for _, n := range strings.Fields(p.names) {
				named[n] = false
			}
		}
	}
	return func(name string) bool {
		if has, ok := named[name]; ok {
			return has
		}
		return rest
	}
}

func (u Unit) namespaces(add func(weight int, name string, bad bool)) {
	allowed, rest, said := map[string]bool{}, true, false
	for _, s := range u.All("Service", "RestrictNamespaces") {
		words, taken := strings.CutPrefix(s.Value, "~")
		switch low := strings.ToLower(words); {
		case slices.Contains([]string{"1", "yes", "y", "true", "t", "on"}, low):
			allowed, rest, said = map[string]bool{}, false, true
			continue
		case slices.Contains([]string{"0", "no", "n", "false", "f", "off"}, low):
			allowed, rest, said = map[string]bool{}, true, true
			continue
		}
		if !said && !taken {
			rest = false
		}
		said = true
		for _, w := range strings.Fields(words) {
			allowed[w] = !taken
		}
	}
	for _, n := range []struct {
		weight int
		name   string
	}{{1500, "user"}, {500, "mnt"}, {500, "ipc"}, {500, "pid"}, {500, "cgroup"}, {500, "net"}, {100, "uts"}} {
		may, ok := allowed[n.name]
		add(n.weight, "RestrictNamespaces ("+n.name+")", may || !ok && rest)
	}
}

func (u Unit) families(add func(weight int, name string, bad bool)) {
	listed, only, said := map[string]bool{}, false, false
	for _, s := range u.All("Service", "RestrictAddressFamilies") {
		if s.Value == "none" {
			listed, only, said = map[string]bool{}, true, false // what comes after it begins anew
			continue
		}
		words, taken := strings.CutPrefix(s.Value, "~")
		if !said {
			only = !taken
		}
		said = true
		for _, w := range strings.Fields(words) {
			if taken == only { // the other way round than the first: it is taken out of the list
				delete(listed, w)
			} else {
				listed[w] = true
			}
		}
	}
	bad := func(names ...string) bool {
		named := slices.ContainsFunc(names, func(n string) bool { return listed[n] })
		return named == only
	}
	other := !only
	for f := range listed {
		if !slices.Contains([]string{"AF_INET", "AF_INET6", "AF_UNIX", "AF_LOCAL", "AF_NETLINK", "AF_PACKET"}, f) {
			other = only
		}
	}
	add(1500, "RestrictAddressFamilies (AF_INET AF_INET6)", bad("AF_INET", "AF_INET6"))
	add(25, "RestrictAddressFamilies (AF_UNIX)", bad("AF_UNIX", "AF_LOCAL"))
	add(200, "RestrictAddressFamilies (AF_NETLINK)", bad("AF_NETLINK"))
	add(1000, "RestrictAddressFamilies (AF_PACKET)", bad("AF_PACKET"))
	add(1250, "RestrictAddressFamilies (others)", other)
}

func (u Unit) systemCalls(of func(weight int, name string, part, whole int)) {
	var kinds []string
	for _, s := range u.All("Service", "SystemCallArchitectures") {
		kinds = append(kinds, strings.Fields(s.Value)...)
	}
	switch {
	case len(kinds) == 0:
		of(1000, "SystemCallArchitectures", 10, 10)
	case len(slices.Compact(kinds)) == 1 && kinds[0] == "native":
		of(1000, "SystemCallArchitectures", 0, 10)
	default:
		of(1000, "SystemCallArchitectures", 8, 10)
	}
	groups := syscallGroups()
	var members func(name string, see func(string))
	members = func(name string, see func(string)) {
		switch {
		case name == "@known":
			for g := range groups {
				members(g, see)
			}
		case strings.HasPrefix(name, "@"):
			for _, m := range groups[name] { // the groups in systemd's table are in no circle
				members(m, see)
			}
		default:
			see(name)
		}
	}
	listed, only, said := map[string]bool{}, false, false
	for _, s := range u.All("Service", "SystemCallFilter") {
		words, taken := strings.CutPrefix(s.Value, "~")
		if !said {
			if only = !taken; only {
				members("@default", func(n string) { listed[n] = true })
			}
		}
		said = true
		for _, w := range strings.Fields(words) {
			w, _, _ = strings.Cut(w, ":") // what is answered instead
			members(w, func(n string) {
				if taken == only {
					delete(listed, n)
				} else {
					listed[n] = true
				}
			})
		}
	}
	for _, g := range []struct {
		weight int
		name   string
	}{
		{1000, "@swap"}, {250, "@obsolete"}, {1000, "@clock"}, {250, "@cpu-emulation"}, {1000, "@debug"}, {1000, "@mount"}, {1000, "@module"}, {1000, "@raw-io"},
		{1000, "@reboot"}, {700, "@privileged"}, {700, "@resources"},
	} {
		bad := false
		members(g.name, func(n string) { bad = bad || listed[n] == only })
		switch {
		case !only && len(listed) == 0:
			of(g.weight, "SystemCallFilter ("+g.name+")", 10, 10)
		case bad && only:
			of(g.weight, "SystemCallFilter ("+g.name+")", 9, 10)
		case bad:
			of(g.weight, "SystemCallFilter ("+g.name+")", 10, 10)
		default:
			of(g.weight, "SystemCallFilter ("+g.name+")", 0, 10)
		}
	}
}

func (u Unit) addresses(of func(weight int, name string, part, whole int)) {
	everything := func(key string) bool {
		four, six := false, false
		for _, s := range u.All("Service", key) {
			for _, w := range strings.Fields(s.Value) {
				four, six = four || w == "any" || w == "0.0.0.0/0", six || w == "any" || w == "::/0"
			}
		}
		return four && six
	}
	here, others := false, false
	for _, s := range u.All("Service", "IPAddressAllow") {
		for _, w := range strings.Fields(s.Value) {
			p, err := netip.ParsePrefix(w)
			if err != nil {
				if a, err := netip.ParseAddr(w); err == nil {
					p = netip.PrefixFrom(a, a.BitLen())
				}
			}
			if w == "localhost" || p.IsValid() && p.Addr().IsLoopback() && (p.Addr().Is6() || p.Bits() >= 8) {
				here = true
			} else {
				others = true
			}
		}
	}
	part := 0
	switch {
	case len(u.All("Service", "IPIngressFilterPath"))+len(u.All("Service", "IPEgressFilterPath")) > 0:
	case !everything("IPAddressDeny"):
		part = 10
	case others:
		part = 5
	case here:
		part = 2
	}
	of(1000, "IPAddressDeny", part, 10)
}
