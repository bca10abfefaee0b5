package checks

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
)

// sysctlDropIn is where a repair says its settings of the kernel. The last file that names
// a setting counts, and this name is late; what comes later still is made a remark.
const sysctlDropIn = "/etc/sysctl.d/99-gatehouse.conf"

// ours is the head of each file that a repair writes, behind the file's mark of a remark.
const ours = ` Written by gatehouse; "gatehouse undo" takes it back.` + "\n"

// tuned is a setting of the kernel, and what a repair sets it to where it is not good yet.
type tuned struct {
	key, value string
	ok         func(int) bool
	final      bool // the kernel does not take it back before the machine starts again
}

// sysctlRepair drafts a fix that gives settings of the kernel their values.
func sysctlRepair(does, breaks string, all ...tuned) func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, does, breaks)
		for _, s := range all {
			sysctlSet(d, s)
		}
		return d.Fix()
	}
}

// good reports whether a value that is written is as it is wanted.
func (s tuned) good(value string) bool {
	n, err := strconv.Atoi(value)
	return err == nil && s.ok(n)
}

// sysctlSet gives a setting its value, now and at each start.
func sysctlSet(d *fix.Draft, s tuned) {
	now, err := d.Host.Sysctl(s.key)
	if err != nil {
		d.Fail(err)
		return
	}
	if d.Host.Live && !now.Known {
		return // this kernel has no such setting
	}
	switch {
	case now.Explicit && s.good(now.Written):
		sysctlElsewhere(d, now.Key, s)
	case now.Explicit, !now.Known, !s.good(now.Value):
		sysctlWrite(d, s)
	}
	if now.Known && !s.good(now.Value) {
		d.Sysctl(now.Key, s.value, s.final)
	}
}

// sysctlWrite writes a setting where systemd-sysctl reads it, and makes remarks of the
// lines that would come after it.
func sysctlWrite(d *fix.Draft, s tuned) {
	const most = 50 // lines that say otherwise
	written := false
	for range most {
		now, err := d.Host.Sysctl(s.key)
		switch {
		case err != nil:
			d.Fail(err)
			return
		case written && now.Explicit && s.good(now.Written):
			sysctlElsewhere(d, now.Key, s)
			return
		case !written:
			written = true
			sysctlSay(d, now.Key, s.value)
		case !now.Explicit:
			d.Refuse("take that line out first", "a line that begins with - keeps %s from being set, in a file of /etc/sysctl.d", s.key)
		case !strings.HasPrefix(now.File, "/etc/"):
			d.Refuse("", "%s:%d sets %s after whatever is written in /etc/sysctl.d", now.File, now.Line, s.key)
		default:
			remark(d, now.File, now.Line)
		}
		if _, err := d.Fix(); err != nil {
			return
		}
	}
	d.Refuse("", "too many lines set %s", s.key)
}

// sysctlElsewhere makes remarks of what sysctl -p and ufw would set otherwise.
func sysctlElsewhere(d *fix.Draft, key string, s tuned) {
	for _, file := range []string{"/etc/sysctl.conf", "/etc/ufw/sysctl.conf"} {
		for n, line := range strings.Split(d.Text(file), "\n") {
			name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
			if ok && sysctlPath(strings.TrimSpace(name)) == key && !s.good(strings.TrimSpace(value)) {
				remark(d, file, n+1)
			}
		}
	}
}

// sysctlPath is a setting's name with slashes.
func sysctlPath(name string) string {
	if at := strings.IndexAny(name, "./"); at >= 0 && name[at] == '.' {
		return strings.ReplaceAll(name, ".", "/")
	}
	return strings.Trim(name, "/")
}

// sysctlSay writes one line of the drop-in, in place of what it said of that setting.
func sysctlSay(d *fix.Draft, key, value string) {
	name := key
	if !strings.Contains(key, ".") { // as in eth0.10
		name = strings.ReplaceAll(key, "/", ".")
	}
	sayLine(d, sysctlDropIn, "#"+ours, name+" = "+value, func(line string) bool {
		was, _, _ := strings.Cut(line, "=")
		return strings.TrimSpace(was) == name
	})
}

// sayLine writes a line at the end of a file of ours, and takes out the one that it replaces.
func sayLine(d *fix.Draft, file, head, line string, replaces func(line string) bool) {
	text := d.Text(file)
	if text == "" {
		text = head
	}
	var b strings.Builder
	for l := range strings.Lines(text) {
		if !replaces(strings.TrimSuffix(l, "\n")) {
			b.WriteString(l)
			if !strings.HasSuffix(l, "\n") {
				b.WriteByte('\n')
			}
		}
	}
	d.Write(file, 0o644, b.String()+line+"\n")
}

// interfacesSet gives a setting that every interface has its value, for those that there
// are and those that come.
func interfacesSet(d *fix.Draft, of ofInterface, value string, ok func(int) bool) {
	for _, i := range []string{"all", "default"} {
		sysctlSet(d, tuned{key: of.dir + "/" + i + "/" + of.name, value: value, ok: ok})
	}
	if strings.Contains(of.dir, "ipv6") {
		// An interface that is there before the settings are read takes nothing from the default.
		sysctlSay(d, of.dir+"/*/"+of.name, value)
	}
	if _, err := d.Fix(); err != nil {
		return
	}
	interfaces, err := d.Host.SysctlInterfaces(of.dir)
	if err != nil {
		d.Fail(err)
		return
	}
	all, err := d.Host.Sysctl(of.dir + "/all/" + of.name)
	if err != nil {
		d.Fail(err)
		return
	}
	a, err := strconv.Atoi(all.Value)
	if err != nil {
		d.Fail(err)
		return
	}
	good := func(n int) bool { return ok(of.both(a, n)) }
	for _, i := range interfaces {
		s := tuned{key: of.dir + "/" + i + "/" + of.name, value: value, ok: good}
		own, err := d.Host.Sysctl(s.key)
		switch {
		case err != nil:
			d.Fail(err)
		case !own.Known:
		case own.Explicit && !s.good(own.Written):
			sysctlSet(d, s)
		case !s.good(own.Value):
			d.Sysctl(own.Key, value, false)
		}
	}
}

// redirectsRepair closes the machine to ICMP redirects, of all kinds.
func redirectsRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has the kernel neither take nor send ICMP redirects, on every interface.",
		"In a network with two routers of which one points to the other, packets take the longer way.")
	accepts, err := acceptingRedirects(h)
	if err != nil {
		return finding.Fix{}, err
	}
	for _, of := range []ofInterface{accepts, {"net/ipv4/conf", "send_redirects", either}, {"net/ipv4/conf", "secure_redirects", either}, {"net/ipv6/conf", "accept_redirects", ownOnly}} {
		interfacesSet(d, of, "0", exactly(0))
	}
	return d.Fix()
}

// sourceRouteRepair sets what holds for all interfaces: the kernel takes such packets only
// where "all" says so, too.
func sourceRouteRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has the kernel drop packets that bring their own route.", "")
	for _, dir := range []string{"net/ipv4/conf", "net/ipv6/conf"} {
		for _, i := range []string{"all", "default"} {
			sysctlSet(d, tuned{key: dir + "/" + i + "/accept_source_route", value: "0", ok: func(n int) bool { return n <= 0 }})
		}
	}
	return d.Fix()
}

// forwardingRepair switches forwarding off where nothing is found that needs it.
func forwardingRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has the kernel pass no packets on from one network to another.",
		"A hotspot, a virtual machine or a VPN that goes through this machine and is not known here loses its way out.")
	for _, one := range []struct{ pattern, word string }{
		{"/etc/NetworkManager/system-connections/*", "method=shared"}, {"/etc/systemd/network/*.network", "masquerade"}, {"/etc/systemd/network/*.network", "ipforward"},
		{"/etc/systemd/network/*.network", "ipv4forwarding"}, {"/etc/nftables.conf", "masquerade"}, {"/etc/nftables.d/*", "masquerade"}, {"/etc/iptables/*", "masquerade"}, {"/etc/ufw/*.rules", "masquerade"},
		{"/etc/network/interfaces", "masquerade"}, {"/etc/network/interfaces.d/*", "masquerade"}, {"/etc/rc.local", "masquerade"}, {"/etc/firewalld/zones/*.xml", "<masquerade"},
	} {
		found, err := h.Glob(one.pattern)
		if err != nil {
			return finding.Fix{}, err
		}
		for _, name := range found {
			t, err := h.Text(name)
			if errors.Is(err, facts.ErrNotFile) {
				continue
			}
			if err != nil {
				return finding.Fix{}, err
			}
			if n := slices.IndexFunc(t.Lines, func(l string) bool { return saysWord(l, one.word) }); n >= 0 {
				d.Refuse("take that out first if nobody needs it", "%s:%d leads others' packets through this machine", name, n+1)
			}
		}
	}
	sysctlSet(d, tuned{key: "net.ipv4.ip_forward", value: "0", ok: exactly(0)})
	sysctlSet(d, tuned{key: "net.ipv6.conf.all.forwarding", value: "0", ok: exactly(0)})
	return d.Fix()
}

// saysWord reports whether a line that is no remark has a word, in whatever case.
func saysWord(line, word string) bool {
	line = strings.TrimSpace(line)
	return line != "" && !strings.ContainsAny(line[:1], "#;") && strings.Contains(strings.ToLower(strings.ReplaceAll(line, " ", "")), word)
}

// kexecSysrqRepair closes kexec, unless something of this host starts kernels with it, and
// leaves of the SysRq keys those that save a machine that hangs.
func kexecSysrqRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has the kernel start no other kernel before the next restart, and obey of the SysRq keys only those that write the disks and restart.",
		"Restarts by kexec, and crash dumps, do not work.")
	kexec := true
	for _, unit := range []string{"kdump-tools.service", "kdump.service"} {
		on, err := h.Wanted(unit)
		if err != nil {
			return finding.Fix{}, err
		}
		kexec = kexec && !on
	}
	for _, name := range []string{"/etc/default/kexec", "/etc/init.d/kexec-load", "/usr/lib/systemd/system/kexec-load.service"} {
		if kexec && exists(h, name) {
			d.Refuse("take the package kexec-tools off first", "%s is there: this machine may restart by kexec", name)
		}
	}
	if kexec {
		sysctlSet(d, tuned{key: "kernel.kexec_load_disabled", value: "1", ok: exactly(1), final: true})
	}
	sysctlSet(d, tuned{key: "kernel.sysrq", value: "176", ok: limitedSysrq})
	return d.Fix()
}

// limitedSysrq: 16 sync, 32 read-only, 128 restart: what a hung machine needs; 1 is all of them.
func limitedSysrq(n int) bool { return n != 1 && n&^(16|32|128) == 0 }

func mmapMinRepair(h *facts.Host) (finding.Fix, error) {
	least := "65536"
	arm, err := h.Glob("/lib/ld-linux-arm*")
	if err != nil {
		return finding.Fix{}, err
	}
	if len(arm) > 0 {
		least = "32768"
	}
	n, err := strconv.Atoi(least)
	if err != nil {
		return finding.Fix{}, err
	}
	return sysctlRepair("Has the kernel give no program the first part of its memory.", "Very old programs for DOS (dosemu, Wine for 16 bits) may not start.",
		tuned{key: "vm.mmap_min_addr", value: least, ok: atLeast(n)})(h)
}

// usernsRepair closes user namespaces to ordinary accounts where nothing is found that
// needs them. Root's, as systemd's and Docker's, stay.
func usernsRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has the kernel make user namespaces for root only.", "Browsers, Flatpak and containers without root, which may be installed later, do not start.")
	for _, program := range []string{"podman", "bwrap", "flatpak", "chromium", "chromium-browser", "google-chrome", "firefox", "firefox-esr", "snap", "dockerd-rootless.sh", "rootlesskit", "buildah", "distrobox", "apptainer", "steam", "unprivileged-lxc", "newuidmap"} {
		for _, dir := range []string{"/usr/bin/", "/usr/local/bin/", "/bin/"} {
			if exists(h, dir+program) {
				d.Refuse("", "%s%s needs them", dir, program)
			}
		}
	}
	for _, s := range []tuned{
		{key: "kernel.unprivileged_userns_clone", value: "0", ok: exactly(0)},
		{key: "kernel.apparmor_restrict_unprivileged_userns", value: "1", ok: exactly(1)},
	} {
		now, err := h.Sysctl(s.key)
		if err != nil {
			return finding.Fix{}, err
		}
		if now.Known {
			sysctlSet(d, s)
			return d.Fix()
		}
	}
	d.Refuse("", "this kernel has no setting that leaves root's own user namespaces alone")
	return d.Fix()
}

// modulesDropIn is where a repair blocks modules.
const modulesDropIn = "/etc/modprobe.d/gatehouse.conf"

// modulesRepair blocks the modules that the check names, if nothing here uses them.
func modulesRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Keeps old network protocols and file systems from being loaded into the kernel.",
		"Disks of a Mac, DVDs and FireWire are not read any more.")
	mounts, err := h.Mounts()
	if err != nil {
		return finding.Fix{}, err
	}
	table, err := h.Fstab()
	if err != nil {
		return finding.Fix{}, err
	}
	loaded := map[string]bool{}
	if h.Live {
		if loaded, err = h.LoadedModules(); err != nil {
			return finding.Fix{}, err
		}
	}
	there, known, err := installedModules(h)
	if err != nil {
		return finding.Fix{}, err
	}
	for _, name := range unneededModules() {
		rules, err := d.Host.ModuleRules()
		if err != nil {
			return finding.Fix{}, err
		}
		if r := rules[name]; known && !there[name] && !loaded[name] || r.Blocked() && r.Blacklisted && !loaded[name] {
			continue
		}
		if n := slices.IndexFunc(append(slices.Clone(mounts), table...), func(m facts.Mount) bool { return m.Type == name }); n >= 0 {
			m := append(slices.Clone(mounts), table...)[n]
			d.Refuse("", "%s:%d: %s is a file system of type %s", m.File, m.Line, m.Point, name)
		}
		if loaded[name] {
			d.Refuse("if nobody needs it, take it out with modprobe -r "+name+" first", "the module %s is in use, or was", name)
		}
		if r := rules[name]; !r.Blocked() && r.Install != "" {
			remark(d, r.InstallAt, r.InstallLine)
		}
		sayLine(d, modulesDropIn, "#"+ours, "install "+name+" /bin/false\nblacklist "+name, func(line string) bool { return line == "install "+name+" /bin/false" || line == "blacklist "+name })
		if _, err := d.Fix(); err != nil {
			return finding.Fix{}, err
		}
	}
	return d.Fix()
}

// unneededModules are parts of the kernel that no house needs, as the kernel writes them.
func unneededModules() []string {
	return []string{"dccp", "sctp", "rds", "tipc", "cramfs", "freevxfs", "hfs", "hfsplus", "jffs2", "udf", "firewire_core"}
}

// textOr is a file's text, "" where there is none.
func textOr(h *facts.Host, name string) (facts.Text, error) {
	t, err := h.Text(name)
	if errors.Is(err, fs.ErrNotExist) {
		return facts.Text{Path: name}, nil
	}
	return t, err
}
