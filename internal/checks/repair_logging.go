package checks

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
)

// journalDropIn is where a repair says its settings of the journal.
const journalDropIn = "/etc/systemd/journald.conf.d/99-gatehouse.conf"

// journalSet gives settings of the journal their values, and makes remarks of what comes later.
func journalSet(d *fix.Draft, wanted map[string]string) {
	text := d.Text(journalDropIn)
	if text == "" {
		text = "#" + ours + "[Journal]\n"
	}
	for _, key := range []string{"Storage", "Compress", "SystemMaxUse"} {
		if wanted[key] == "" {
			continue
		}
		var kept []string
		for l := range strings.Lines(text) {
			if !strings.HasPrefix(l, key+"=") {
				kept = append(kept, l)
			}
		}
		text = strings.Join(kept, "") + key + "=" + wanted[key] + "\n"
	}
	d.Write(journalDropIn, 0o644, text)
	const most = 20
	for range most {
		s, err := d.Host.Settings("/systemd/journald.conf", "")
		if err != nil {
			d.Fail(err)
			return
		}
		done := true
		for key, value := range wanted {
			if l, ok := s.Last("Journal", key); !ok || l.Value != value {
				if !strings.HasPrefix(l.File, "/etc/") {
					d.Refuse("", "%s:%d comes after whatever is written in /etc", l.File, l.Line)
					return
				}
				remark(d, l.File, l.Line)
				done = false
				break
			}
		}
		if _, err := d.Fix(); err != nil || done {
			d.Unit("try-restart", "systemd-journald.service")
			return
		}
	}
	d.Refuse("", "too many lines say otherwise of the journal")
}

func logPersistentRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Keeps the journal on the disk, compressed, and no larger than 200 MB.", "An SD card wears out sooner.")
	wanted := map[string]string{}
	storage, _, _, err := journalStorage(h)
	if err != nil {
		return finding.Fix{}, err
	}
	s, err := h.Settings("/systemd/journald.conf", "")
	if err != nil {
		return finding.Fix{}, err
	}
	if storage != "persistent" {
		wanted["Storage"] = "persistent"
		if _, ok := s.Last("Journal", "SystemMaxUse"); !ok {
			wanted["SystemMaxUse"] = "200M"
		}
	}
	if c, ok := s.Last("Journal", "Compress"); ok && slices.Contains([]string{"no", "false", "0", "off"}, strings.ToLower(c.Value)) {
		wanted["Compress"] = "yes"
	}
	journalSet(d, wanted)
	return d.Fix()
}

func logRotationRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Bounds the journal, and has logs be turned over each day.", "")
	full, err := h.FullPercent("/var/log")
	if err != nil {
		return finding.Fix{}, err
	}
	if full >= 90 {
		d.Refuse("look what fills it: du -xh --max-depth=2 /var | sort -h", "the disk is full, %d %% of it, and what may go only you know", full)
	}
	s, err := h.Settings("/systemd/journald.conf", "")
	if err != nil {
		return finding.Fix{}, err
	}
	if m, ok := s.Last("Journal", "SystemMaxUse"); ok && (strings.HasSuffix(m.Value, "T") || strings.HasSuffix(m.Value, "P") || m.Value == "infinity") {
		journalSet(d, map[string]string{"SystemMaxUse": "1G"})
	}
	rsyslog, err := rsyslogRuns(h)
	if err != nil {
		return finding.Fix{}, err
	}
	switch config := exists(h, "/etc/logrotate.conf"); {
	case !config && rsyslog:
		d.Refuse("apt install logrotate", "logrotate is not installed")
	case config && !exists(h, "/etc/cron.daily/logrotate"):
		startAtBoot(d, "logrotate.timer", "timers.target.wants")
	}
	return d.Fix()
}

func logPermsRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Takes from everybody the right to read logs that tell of people, and has rsyslog make the next ones so.", "Who reads them as an ordinary account has to be in the group adm, or use sudo.")
	open, err := openLogs(h)
	if err != nil {
		return finding.Fix{}, err
	}
	const most = 1000
	if len(open) > most {
		d.Refuse("chmod -R o-rwx the folder in which they lie", "there are %d of them", len(open))
	}
	for _, e := range open {
		info, err := h.Lstat(e.File)
		if err != nil {
			return finding.Fix{}, err
		}
		d.Mode(e.File, facts.ModeBits(info.Mode)&^0o007)
	}
	lines, err := rsyslogLines(h)
	if err != nil {
		return finding.Fix{}, err
	}
	digits := regexp.MustCompile(`(?i)(filecreatemode[ \t="]*)[0-7]+`)
	for _, l := range lines {
		mode, ok := createMode(l.text)
		if !ok || mode&0o027 == 0 {
			continue
		}
		d.Edit(l.file, func(text string) (string, error) {
			all := strings.Split(text, "\n")
			all[l.line-1] = digits.ReplaceAllString(all[l.line-1], fmt.Sprintf("${1}%04o", mode&^0o027))
			return strings.Join(all, "\n"), nil
		})
		d.Unit("try-restart", "rsyslog.service")
	}
	return d.Fix()
}

func logNoListenRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has the log take no lines from the network.", "A router or a device that sends its log here is not heard any more.")
	lines, err := rsyslogLines(h)
	if err != nil {
		return finding.Fix{}, err
	}
	for _, l := range lines {
		low := strings.ToLower(strings.ReplaceAll(l.text, " ", ""))
		for _, mark := range []string{`input(type="imudp"`, `input(type="imtcp"`, `input(type="imrelp"`, "$udpserverrun", "$inputtcpserverrun"} {
			if !strings.HasPrefix(low, mark) || strings.Contains(low, `address="127.`) || strings.Contains(low, `address="::1"`) {
				continue
			}
			if strings.HasPrefix(low, "input(") && !strings.HasSuffix(low, ")") {
				d.Refuse("take it out", "%s:%d goes on in the next line", l.file, l.line)
			}
			remark(d, l.file, l.line)
			d.Unit("try-restart", "rsyslog.service")
		}
	}
	for _, unit := range []string{"systemd-journal-remote.socket", "systemd-journal-remote.service"} {
		on, err := h.Wanted(unit)
		if err != nil {
			return finding.Fix{}, err
		}
		if on {
			switchOff(d, unit)
		}
	}
	return d.Fix()
}

func auditdSafeRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has a full audit log be told in the system's log, instead of stopping the machine.", "")
	const file = "/etc/audit/auditd.conf"
	t, err := h.Text(file)
	if err != nil {
		return finding.Fix{}, err
	}
	stops := regexp.MustCompile(`(?i)^(\s*(disk_full_action|disk_error_action|space_left_action|admin_space_left_action|max_log_file_action)\s*=\s*)(halt|single)\b`)
	for n, line := range t.Lines {
		if m := stops.FindStringSubmatch(line); m != nil {
			instead := "syslog"
			if strings.EqualFold(m[2], "max_log_file_action") {
				instead = "rotate"
			}
			editLine(d, file, n+1, func(l string) string { return stops.ReplaceAllString(l, "${1}"+instead) })
			d.Unit("try-reload-or-restart", "auditd.service")
		}
	}
	rules, err := auditRules(h)
	if err != nil {
		return finding.Fix{}, err
	}
	panics := regexp.MustCompile(`^(\s*-f\s+)2\b`)
	for _, r := range rules {
		if f := strings.Fields(r.text); len(f) > 1 && f[0] == "-f" && f[1] == "2" {
			editLine(d, r.file, r.line, func(l string) string { return panics.ReplaceAllString(l, "${1}1") })
			auditLocked(d, rules)
			d.Run("augenrules")
		}
	}
	return d.Fix()
}

// auditLocked leaves a running machine alone whose rules cannot be changed before it starts again.
func auditLocked(d *fix.Draft, rules []logLine) {
	if n := slices.IndexFunc(rules, func(r logLine) bool { return strings.Join(strings.Fields(r.text), " ") == "-e 2" }); n >= 0 && d.Host.Live {
		d.Refuse("change the rules yourself and restart the machine", "%s:%d: the kernel takes no other rules before the next start", rules[n].file, rules[n].line)
	}
}

// editLine changes one line of a file.
func editLine(d *fix.Draft, file string, line int, change func(string) string) {
	d.Edit(file, func(text string) (string, error) {
		all := strings.Split(text, "\n")
		if line < 1 || line > len(all) {
			return "", fmt.Errorf("there is no line %d", line)
		}
		all[line-1] = change(all[line-1])
		return strings.Join(all, "\n"), nil
	})
}

func auditdRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has the kernel record who changes accounts, sudo's rules and the list of sign-ins.", "An SD card wears out a little sooner.")
	if _, there, err := h.UnitFile("auditd.service"); err != nil {
		return finding.Fix{}, err
	} else if !there {
		d.Refuse("apt install auditd", "auditd is not installed, or masked")
	}
	rules, err := auditRules(h)
	if err != nil {
		return finding.Fix{}, err
	}
	auditLocked(d, rules)
	if found, err := h.Glob("/etc/audit/rules.d/*.rules"); err != nil {
		return finding.Fix{}, err
	} else if len(found) == 0 && len(rules) > 0 {
		d.Refuse("move them to /etc/audit/rules.d", "/etc/audit/audit.rules has rules of your own, which augenrules would write anew")
	}
	var watch []string
	for _, file := range []string{"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/sudoers.d", "/var/log/lastlog", "/var/log/wtmp"} {
		if slices.ContainsFunc(rules, func(r logLine) bool { return strings.HasPrefix(r.text, "-w "+file+" ") }) {
			continue // the kernel refuses a rule that it has
		}
		watch = append(watch, "-w "+file+" -p wa -k gatehouse")
	}
	d.Write("/etc/audit/rules.d/60-gatehouse.rules", 0o640, "#"+ours+strings.Join(watch, "\n")+"\n")
	on, err := h.Wanted("auditd.service")
	if err != nil {
		return finding.Fix{}, err
	}
	if !on {
		startAtBoot(d, "auditd.service", "multi-user.target.wants")
	}
	d.Run("augenrules")
	return d.Fix()
}

// timeSyncRepair leaves one program that keeps the clock: systemd's own where there is none,
// else the first of those that can do more.
func timeSyncRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has one program, and no other, keep the clock right.", "")
	var running []string
	for _, unit := range []string{"chrony.service", "chronyd.service", "ntpsec.service", "ntp.service", "ntpd.service", "openntpd.service", "systemd-timesyncd.service"} {
		on, err := h.Wanted(unit)
		if err != nil {
			return finding.Fix{}, err
		}
		if _, there, err := h.UnitFile(unit); err != nil {
			return finding.Fix{}, err
		} else if on && there {
			running = append(running, unit)
		}
	}
	if len(running) == 0 {
		for _, unit := range []string{"systemd-timesyncd.service", "chrony.service", "chronyd.service"} {
			u, err := h.Unit(unit)
			if err != nil {
				return finding.Fix{}, err
			}
			if u.File != "" && (!u.Masked || strings.HasPrefix(u.File, "/etc/")) {
				wants := "sysinit.target.wants"
				if unit != "systemd-timesyncd.service" {
					wants = "multi-user.target.wants"
				}
				startAtBoot(d, unit, wants)
				return d.Fix()
			}
		}
		d.Refuse("apt install systemd-timesyncd", "no program for it is installed")
		return d.Fix()
	}
	if len(running) == 1 {
		d.Refuse("name one there, as pool 2.debian.pool.ntp.org", "%s is told no server to ask", running[0])
	}
	keep := ""
	for _, unit := range running {
		if n, _, err := timeServers(h, unit); err != nil {
			return finding.Fix{}, err
		} else if n > 0 && keep == "" {
			keep = unit
		}
	}
	if keep == "" {
		d.Refuse("name one in one of them, and disable the others", "none of %s is told a server to ask", strings.Join(running, ", "))
	}
	for _, unit := range running {
		if unit != keep && (keep != "chrony.service" || unit != "chronyd.service") { // its alias
			switchOff(d, unit)
		}
	}
	return d.Fix()
}

func chronyUserRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has chrony run as its own user, and give the time to the home network only.", "")
	lines, err := linesOf(h, []string{"/etc/chrony/chrony.conf", "/etc/chrony.conf", "/etc/chrony/conf.d/*.conf", "/etc/chrony.d/*.conf"})
	if err != nil {
		return finding.Fix{}, err
	}
	for _, l := range slices.Backward(lines) { // so that the numbers of lines stay right
		f := strings.Fields(l.text)
		switch strings.ToLower(f[0]) {
		case "user":
			if len(f) > 1 && f[1] == "root" {
				remark(d, l.file, l.line)
			}
		case "allow":
			if len(f) == 1 || slices.Contains([]string{"all", "0/0", "0.0.0.0/0", "::/0", "0"}, f[len(f)-1]) {
				editLine(d, l.file, l.line, func(string) string {
					return "allow 10.0.0.0/8\nallow 172.16.0.0/12\nallow 192.168.0.0/16\nallow fc00::/7\nallow fe80::/10"
				})
			}
		}
	}
	options, err := linesOf(h, []string{"/etc/default/chrony", "/etc/sysconfig/chronyd"})
	if err != nil {
		return finding.Fix{}, err
	}
	for _, l := range options {
		if strings.Contains(l.text, "-u root") {
			editLine(d, l.file, l.line, func(s string) string {
				return strings.ReplaceAll(strings.ReplaceAll(s, " -u root", ""), "-u root", "")
			})
		}
	}
	unit := "chrony.service"
	if _, there, err := h.UnitFile(unit); err == nil && !there {
		unit = "chronyd.service"
	}
	d.Unit("try-restart", unit)
	return d.Fix()
}
