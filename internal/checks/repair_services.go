package checks

import (
	"errors"
	"fmt"
	"github.com/go-json-experiment/json/jsontext"
	"io/fs"
	"path"
	"slices"
	"strings"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
)

// switchOff has systemd never start a unit, and stops it. It is masked by a link, so that
// no package and no other unit starts it again; nothing is removed.
func switchOff(d *fix.Draft, name string) {
	u, err := d.Host.Unit(name)
	if err != nil {
		d.Fail(err)
		return
	}
	if u.Masked {
		return
	}
	at := "/etc/systemd/system/" + name
	if info, err := d.Host.Lstat(at); err == nil {
		// A unit of the owner's own, or another name of one: then what starts it goes.
		if info.Target == "" && u.EnabledBy == "" {
			d.Refuse("", "%s is a unit of your own", at)
			return
		}
		const most = 20
		for range most {
			if u, err = d.Host.Unit(name); err != nil || !u.Starts() {
				break
			}
			if !strings.HasPrefix(u.EnabledBy, "/etc/systemd/system/") {
				d.Refuse("systemctl disable --now "+name, "%s starts it", u.EnabledBy)
				return
			}
			d.Delete(u.EnabledBy)
		}
		d.Fail(err)
	} else {
		d.Link(at, "/dev/null")
	}
	d.Unit("daemon-reload", "")
	d.Unit("stop", name)
}

// legacyUnits are the units of servers from the time before encryption, by package; those
// without one are started by inetd or xinetd.
func legacyUnits() map[string]string {
	return map[string]string{
		"xinetd": "xinetd.service", "inetutils-inetd": "inetutils-inetd.service", "openbsd-inetd": "inetd.service", "nis": "ypbind.service", "ypserv": "ypserv.service",
		"tftpd-hpa": "tftpd-hpa.service", "atftpd": "atftpd.service", "vsftpd": "vsftpd.service", "proftpd-basic": "proftpd.service", "proftpd-core": "proftpd.service", "pure-ftpd": "pure-ftpd.service",
	}
}

// legacyOff reports whether a package of an old server can start nothing: its unit is
// masked, or those that would start it are.
func legacyOff(h *facts.Host, name string) (bool, error) {
	units := []string{legacyUnits()[name]}
	if units[0] == "" {
		if strings.HasSuffix(name, "client") || name == "talk" {
			return false, nil
		}
		units = []string{"xinetd.service", "inetd.service", "inetutils-inetd.service"}
	}
	off := false
	for _, n := range units {
		u, err := h.Unit(n)
		if err != nil {
			return false, err
		}
		if u.File != "" && !u.Masked {
			return false, nil
		}
		off = off || u.Masked
	}
	return off, nil
}

func legacyRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Stops servers from the time before encryption, and has systemd never start them again; their packages stay.",
		"Who uses them, as an old camera that sends its pictures by FTP, needs another way.")
	for _, name := range legacyPackages() {
		_, installed, err := h.Package(name)
		if err != nil {
			break // there is no dpkg: then the units tell
		}
		unit := legacyUnits()[name]
		if !installed || unit == "" {
			continue
		}
		if u, err := h.Unit(unit); err != nil {
			return finding.Fix{}, err
		} else if u.File != "" {
			switchOff(d, unit)
		}
	}
	for _, name := range legacyStarted() {
		u, err := d.Host.Unit(name)
		if err != nil {
			return finding.Fix{}, err
		}
		if u.Starts() {
			switchOff(d, name)
		}
	}
	for _, name := range legacyPackages() {
		if p, installed, err := d.Host.Package(name); err == nil && installed {
			if off, err := legacyOff(d.Host, name); err != nil || !off {
				d.Fail(err)
				d.Refuse("apt remove "+p.Name, "%s is no service that could be stopped; the package itself has to go", p.Name)
			}
		}
	}
	return d.Fix()
}

// unneededRepair switches off what nobody here is seen to use, and leaves what serves
// something.
func unneededRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Stops servers that share nothing here, and has systemd never start them again; their packages stay.", "")
	table, err := h.Fstab()
	if err != nil {
		return finding.Fix{}, err
	}
	shares := ""
	for _, m := range table {
		if strings.HasPrefix(m.Type, "nfs") {
			shares = fmt.Sprintf("%s:%d mounts a share of another machine", m.File, m.Line)
		}
	}
	exports, err := linesOf(h, []string{"/etc/exports", "/etc/exports.d/*.exports"})
	if err != nil {
		return finding.Fix{}, err
	}
	if len(exports) > 0 {
		shares = fmt.Sprintf("%s:%d shares a folder", exports[0].file, exports[0].line)
	}
	for _, name := range unneededServers() {
		u, err := d.Host.Unit(name)
		if err != nil {
			return finding.Fix{}, err
		}
		if !u.Starts() {
			continue
		}
		why := ""
		switch name {
		case "nfs-server.service", "nfs-kernel-server.service", "rpcbind.service", "rpcbind.socket":
			why = shares
		case "cups.service", "cups.socket":
			if printers, err := linesOf(h, []string{"/etc/cups/printers.conf"}); err != nil || len(printers) > 0 {
				why = "/etc/cups/printers.conf names a printer"
			}
		case "snmpd.service":
		case "rsync.service":
			if exists(h, "/etc/rsyncd.conf") {
				why = "/etc/rsyncd.conf shares a folder"
			}
		default:
			why = "somebody has set it up"
		}
		if why != "" {
			d.Refuse("if nobody needs it: systemctl disable --now "+name+"; if you do, waive this with your reason", "%s may be needed: %s", name, why)
			break
		}
		switchOff(d, name)
	}
	return d.Fix()
}

func ctrlAltDelRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has the keys Ctrl-Alt-Del start nothing, and no shell of root's wait on a hidden screen.", "The machine is not restarted from the keyboard any more.")
	for _, name := range []string{"ctrl-alt-del.target", "debug-shell.service"} {
		u, err := h.Unit(name)
		if err != nil {
			return finding.Fix{}, err
		}
		if name == "ctrl-alt-del.target" && u.File != "" && !u.Masked {
			d.Link("/etc/systemd/system/"+name, "/dev/null")
			d.Unit("daemon-reload", "")
		}
		if name == "debug-shell.service" && u.Starts() {
			switchOff(d, name)
		}
	}
	return d.Fix()
}

func mtaRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has the mail server take mail from this machine only.", "Devices that send their mail through this machine, as a camera may, do so no more.")
	for _, one := range []struct{ file, name, value string }{
		{"/etc/postfix/main.cf", "inet_interfaces", "loopback-only"}, {"/etc/exim4/update-exim4.conf.conf", "dc_local_interfaces", "'127.0.0.1 ; ::1'"},
	} {
		t, err := textOr(h, one.file)
		if err != nil {
			return finding.Fix{}, err
		}
		if len(t.Lines) == 0 {
			continue
		}
		d.Edit(one.file, func(text string) (string, error) {
			lines := strings.SplitAfter(text, "\n")
			found := -1
			for n, l := range lines {
				if k, _, ok := strings.Cut(l, "="); ok && strings.TrimSpace(k) == one.name && k[0] != ' ' && k[0] != '\t' {
					found = n
				}
			}
			say := one.name + " = " + one.value + "\n"
			if strings.Contains(one.file, "exim4") {
				say = one.name + "=" + one.value + "\n" // a shell reads it
			}
			if found < 0 {
				return strings.TrimSuffix(text, "\n") + "\n" + say, nil
			}
			lines[found] = say
			for !strings.Contains(one.file, "exim4") && found+1 < len(lines) && strings.TrimSpace(lines[found+1]) != "" && strings.ContainsAny(lines[found+1][:1], " \t") {
				lines = slices.Delete(lines, found+1, found+2) // a line of Postfix's goes on in the next
			}
			return strings.Join(lines, ""), nil
		}, "update-exim4.conf", "exim")
		if strings.Contains(one.file, "exim4") {
			d.Run("exim-reload")
			d.Unit("try-restart", "exim4.service")
		} else {
			d.Unit("try-restart", "postfix.service")
		}
	}
	return d.Fix()
}

// sambaRepair keeps strangers and old protocols out. Who comes as a guest today has to be
// given an account first.
func sambaRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has Samba answer the home network only, and speak no protocol from before SMB2.", "Very old scanners, players and Windows machines find their share no more.")
	const file = "/etc/samba/smb.conf"
	t, err := h.Text(file)
	if err != nil {
		return finding.Fix{}, err
	}
	section, global, hosts := "", 0, false
	for n, line := range t.Lines {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' {
			if section = strings.ToLower(strings.Trim(line, "[]")); section == "global" {
				global = n + 1
			}
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		name, value = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), " ", ""), strings.ToLower(strings.TrimSpace(value))
		switch name {
		case "guestok", "public", "guestonly":
			if (value == "yes" || value == "true" || value == "1") && section != "print$" && section != "printers" {
				d.Refuse("give each person an account (smbpasswd -a NAME), try it, then say guest ok = no", "%s:%d: whoever uses this share comes in without an account", file, n+1)
			}
		case "serverminprotocol", "minprotocol":
			if slices.Contains([]string{"nt1", "lanman1", "lanman2", "core", "coreplus"}, value) {
				remark(d, file, n+1)
			}
		case "hostsallow", "allowhosts", "interfaces":
			hosts = true
		}
	}
	if !hosts {
		if global == 0 {
			d.Refuse("", "%s has no section [global]", file)
		}
		d.Edit(file, func(text string) (string, error) {
			lines := strings.SplitAfter(text, "\n")
			if global < 1 || global > len(lines) {
				return "", fmt.Errorf("there is no line %d", global)
			}
			lines[global-1] = strings.TrimSuffix(lines[global-1], "\n") + "\n   hosts allow = 127. 10. 172.16.0.0/12 192.168. 169.254. ::1 fe80::/10 fc00::/7\n"
			return strings.Join(lines, ""), nil
		})
	}
	d.Unit("try-reload-or-restart", "smbd.service")
	return d.Fix()
}

func cronPermsRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Lets nobody but root read and write what cron does.", "")
	for _, name := range []string{"/etc/crontab", "/etc/cron.d", "/etc/cron.hourly", "/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.monthly"} {
		info, err := h.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return finding.Fix{}, err
		}
		d.Owner(name, 0, info.GID)
		d.Mode(name, facts.ModeBits(info.Mode)&^0o077)
	}
	return d.Fix()
}

// cronAllowRepair names root, and those who have jobs today.
func cronAllowRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Lets only root, and those who have jobs today, leave jobs to cron and at.", "Whoever else shall leave jobs has to be added to /etc/cron.allow or /etc/at.allow.")
	for tool, spools := range map[string][]string{"cron": {"/var/spool/cron/crontabs", "/var/spool/cron"}, "at": {}} {
		program := map[string]string{"cron": "/usr/bin/crontab", "at": "/usr/bin/at"}[tool]
		if !exists(h, program) || exists(h, "/etc/"+tool+".allow") {
			continue
		}
		names := []string{"root"}
		for _, dir := range spools {
			found, err := h.Dir(dir)
			if err != nil {
				return finding.Fix{}, err
			}
			for _, n := range found {
				if info, err := h.Lstat(dir + "/" + n); err == nil && info.Mode.IsRegular() && !slices.Contains(names, n) && !strings.HasPrefix(n, ".") {
					names = append(names, n)
				}
			}
		}
		d.Write("/etc/"+tool+".allow", 0o644, strings.Join(names, "\n")+"\n")
	}
	return sorted(d.Fix())
}

// cronTargetsRepair makes what root runs by itself root's alone.
func cronTargetsRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Takes from everybody but root the right to change what root runs by itself.", "Who changed such a script as themselves needs sudo for it.")
	cron, err := h.CronCommands()
	if err != nil {
		return finding.Fix{}, err
	}
	units, err := h.UnitCommands()
	if err != nil {
		return finding.Fix{}, err
	}
	for _, c := range append(slices.Clone(cron), units...) {
		for _, program := range c.Programs() {
			writersOut(d, program)
		}
	}
	return d.Fix()
}

// unitWritableRepair makes units root's alone. A secret in one stays: where it is to go
// depends on the program that reads it.
func unitWritableRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Takes from everybody but root the right to change units and what they read.", "Who changed such a file as themselves needs sudo for it.")
	names, err := h.Units()
	if err != nil {
		return finding.Fix{}, err
	}
	for _, n := range names {
		u, err := h.Unit(n)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return finding.Fix{}, err
		}
		files := slices.Clone(u.DropIns)
		if u.File != "" && !u.Masked {
			files = append(files, u.File)
		}
		who, _ := u.Last("Service", "User")
		for _, s := range u.All("Service", "EnvironmentFile") {
			if f := strings.TrimPrefix(s.Value, "-"); path.IsAbs(f) && !strings.ContainsAny(f, "%*?[") && (who.Value == "" || who.Value == "root") {
				files = append(files, f)
			}
		}
		for _, f := range files {
			writersOut(d, f)
		}
		for _, s := range u.All("Service", "Environment") {
			for _, word := range strings.Fields(s.Value) {
				if name, value, _ := strings.Cut(strings.Trim(word, `"'`), "="); secretName(name) && value != "" {
					d.Refuse("put it into a file with mode 0600 and name it in EnvironmentFile=", "%s:%d: %s is a secret that everybody may read", s.File, s.Line, name)
				}
			}
		}
	}
	return d.Fix()
}

// envSecretsRepair closes files of secrets beside compose files.
func envSecretsRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Lets only its owner read a file of secrets that lies beside a compose file.", "Who starts the containers as another account than the file's owner needs sudo for it.")
	all, err := h.ComposeFiles()
	if err != nil {
		return finding.Fix{}, err
	}
	for _, f := range all {
		for _, c := range f.Containers {
			for _, s := range c.All("environment") {
				name, value, _ := strings.Cut(s.Value, "=")
				if secretName(name) && value != "" && !strings.HasPrefix(value, "$") && !strings.HasPrefix(value, "/run/secrets/") {
					d.Refuse("put it into .env with mode 0600 and write ${"+name+"} in its place", "%s:%d: %s stands in the compose file itself", c.File, s.Line, name)
				}
			}
		}
		for _, name := range composeEnvFiles(f) {
			open, err := openSecrets(h, name)
			if err != nil {
				return finding.Fix{}, err
			}
			if len(open) > 0 {
				info, err := h.Stat(name)
				if err != nil {
					return finding.Fix{}, err
				}
				d.Mode(name, facts.ModeBits(info.Mode)&^0o077)
			}
		}
	}
	return d.Fix()
}

// dockerDaemonRepair adds to daemon.json what is missing, and leaves the rest as it stands.
func dockerDaemonRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has Docker keep containers of its first network apart, let them run while it is restarted itself, and bound their logs.",
		"After Docker's next start containers that find each other over the network \"bridge\" do so no more; those of one compose file still do.")
	daemon, err := h.DockerDaemon()
	if err != nil {
		return finding.Fix{}, err
	}
	commands, err := h.UnitCommands()
	if err != nil {
		return finding.Fix{}, err
	}
	for _, c := range commands {
		for _, flag := range []string{"--icc", "--live-restore", "--log-opt", "--log-driver"} {
			if path.Base(c.File) == "docker.service" && strings.Contains(c.Command, flag) {
				d.Refuse("take it out of the unit", "%s:%d says %s, and Docker does not start where it is told twice", c.File, c.Line, flag)
			}
		}
	}
	if names, err := h.Dir("/var/lib/docker/swarm"); err == nil && len(names) > 0 {
		d.Refuse("", "this machine is part of a swarm, which live-restore is not for")
	}
	options, _ := daemon.Settings["log-opts"].(map[string]any)
	driver, _ := daemon.Settings["log-driver"].(string)
	const file = "/etc/docker/daemon.json"
	if d.Text(file) == "" {
		d.Write(file, 0o644, "{\n}\n")
	}
	set := func(key, value string, good bool) {
		if good {
			return
		}
		if daemon.Settings[key] != nil {
			d.Refuse("change it there", "%s:%d says otherwise of %s", file, daemon.Line(key), key)
			return
		}
		d.Edit(file, func(text string) (string, error) {
			if !jsontext.Value(text).IsValid() {
				return "", errors.New("not JSON")
			}
			head, rest, ok := strings.Cut(text, "{")
			if !ok {
				return "", errors.New("not an object of JSON")
			}
			comma := ","
			if strings.HasPrefix(strings.TrimSpace(rest), "}") {
				comma = ""
			}
			if !strings.HasPrefix(rest, "\n") {
				rest = "\n  " + rest
			}
			return head + "{\n  \"" + key + "\": " + value + comma + rest, nil
		})
	}
	set("log-opts", `{"max-size": "10m", "max-file": "3"}`, options["max-size"] != nil || driver != "" && driver != "json-file")
	set("live-restore", "true", daemon.Settings["live-restore"] == true)
	set("icc", "false", daemon.Settings["icc"] == false)
	d.Unit("try-reload-or-restart", "docker.service")
	return d.Fix()
}

// mdnsRepair keeps names out of tunnels and of containers' networks, and switches LLMNR off.
func mdnsRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Keeps this machine's name out of tunnels and containers' networks, and has it answer no LLMNR.", "A Windows machine without mDNS does not find this one by its name alone.")
	avahi, err := h.Unit("avahi-daemon.service")
	if err != nil {
		return finding.Fix{}, err
	}
	if avahi.Starts() {
		const file = "/etc/avahi/avahi-daemon.conf"
		s, err := h.Sections(file)
		if err != nil {
			return finding.Fix{}, err
		}
		_, allowed := s.Last("server", "allow-interfaces")
		_, denied := s.Last("server", "deny-interfaces")
		if !allowed && !denied {
			names := []string{"docker0", "tailscale0", "tun0", "wg0"}
			tunnels, err := h.Glob("/etc/wireguard/*.conf")
			if err != nil {
				return finding.Fix{}, err
			}
			for _, t := range tunnels {
				names = append(names, strings.TrimSuffix(path.Base(t), ".conf"))
			}
			slices.Sort(names)
			d.Edit(file, func(text string) (string, error) {
				lines := strings.SplitAfter(text, "\n")
				for n, l := range lines {
					if strings.TrimSpace(l) == "[server]" {
						lines[n] = strings.TrimSuffix(l, "\n") + "\ndeny-interfaces=" + strings.Join(slices.Compact(names), ",") + "\n"
						return strings.Join(lines, ""), nil
					}
				}
				return "", errors.New("there is no section [server]")
			})
			d.Unit("try-restart", "avahi-daemon.service")
		}
	}
	resolved, err := h.Unit("systemd-resolved.service")
	if err != nil {
		return finding.Fix{}, err
	}
	if resolved.Starts() {
		const most = 20
		for n := range most {
			s, err := d.Host.Sections("/etc/systemd/resolved.conf", "/etc/systemd/resolved.conf.d", "/usr/lib/systemd/resolved.conf.d")
			if err != nil {
				return finding.Fix{}, err
			}
			l, ok := s.Last("Resolve", "LLMNR")
			if ok && (l.Value == "no" || l.Value == "false" || l.Value == "0") {
				break
			}
			if n == 0 {
				dropIn(d, "/etc/systemd/resolved.conf.d/99-gatehouse.conf", "Resolve", "LLMNR=no")
				d.Unit("try-restart", "systemd-resolved.service")
			} else {
				remark(d, l.File, l.Line)
			}
			if _, err := d.Fix(); err != nil {
				return finding.Fix{}, err
			}
		}
	}
	return d.Fix()
}

// legacyPackages are servers from the time before encryption, and their clients.
func legacyPackages() []string {
	return []string{"telnetd", "telnetd-ssl", "inetutils-telnetd", "rsh-server", "rsh-redone-server", "nis", "ypserv", "talkd", "inetutils-talkd", "tftpd", "tftpd-hpa", "atftpd", "xinetd", "inetutils-inetd", "openbsd-inetd", "inetutils-ftpd", "ftpd", "vsftpd", "proftpd-basic", "proftpd-core", "pure-ftpd", "rsh-client", "talk"}
}

// legacyStarted are their units that are started by themselves.
func legacyStarted() []string {
	return []string{"telnet.socket", "rsh.socket", "tftp.socket", "tftpd-hpa.service", "xinetd.service", "inetd.service", "vsftpd.service", "proftpd.service", "ypserv.service", "ypbind.service"}
}

// unneededServers are units that a smart home seldom needs.
func unneededServers() []string {
	return []string{"nfs-server.service", "nfs-kernel-server.service", "rpcbind.service", "rpcbind.socket", "cups.service", "cups.socket", "snmpd.service", "slapd.service", "dovecot.service", "squid.service", "isc-dhcp-server.service", "named.service", "rsync.service"}
}
