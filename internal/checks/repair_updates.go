package checks

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
)

// aptDropIn is late among apt's files; the last one counts.
const aptDropIn = "/etc/apt/apt.conf.d/99gatehouse"

// unattendedRepair has the machine ask for updates and install those for safety by itself.
func unattendedRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has the machine ask for updates each day and install those for safety by itself.",
		"A service is started again when it is updated, at night; the machine itself is not.")
	_, installed, err := h.Package("unattended-upgrades")
	if errors.Is(err, facts.ErrRPM) {
		return finding.Fix{}, fix.Refuse("dnf install dnf-automatic, set apply_updates = yes, and systemctl enable --now dnf-automatic.timer", "the packages are rpm's")
	}
	if err != nil {
		return finding.Fix{}, err
	}
	if !installed {
		return finding.Fix{}, fix.Refuse("apt install unattended-upgrades", "unattended-upgrades is not installed")
	}
	on := func(v string) bool { return v != "0" && v != "" }
	aptSet(d, "APT::Periodic::Update-Package-Lists", "1", on)
	aptSet(d, "APT::Periodic::Unattended-Upgrade", "1", on)
	if c, err := d.Host.AptConf(); err != nil {
		return finding.Fix{}, err
	} else if s, set := c.Last("APT::Periodic::Enable"); set && s.Value == "0" {
		aptSet(d, "APT::Periodic::Enable", "1", func(v string) bool { return v != "0" })
	}
	if err := securityOrigin(d); err != nil {
		return finding.Fix{}, err
	}
	for _, name := range []string{"apt-daily.timer", "apt-daily-upgrade.timer"} {
		startAtBoot(d, name, "timers.target.wants")
	}
	return d.Fix()
}

// aptSet gives a setting of apt's its value, and makes remarks of lines that come later.
func aptSet(d *fix.Draft, name, value string, good func(string) bool) {
	const most = 20
	for n := range most {
		c, err := d.Host.AptConf()
		if err != nil {
			d.Fail(err)
			return
		}
		s, set := c.Last(name)
		switch {
		case set && good(s.Value):
			return
		case n == 0:
			sayLine(d, aptDropIn, "//"+ours, name+` "`+value+`";`, func(line string) bool { return strings.HasPrefix(line, name+" ") })
		default:
			aptRemark(d, s)
		}
		if _, err := d.Fix(); err != nil {
			return
		}
	}
	d.Refuse("", "too many lines set %s", name)
}

// aptRemark makes a remark of a line of apt's configuration that is a setting and no more.
func aptRemark(d *fix.Draft, s facts.AptSetting) {
	whole := regexp.MustCompile(`^\s*[A-Za-z:-]+\s+"[^"]*"\s*;\s*(//.*)?$`)
	lines := strings.Split(d.Text(s.File), "\n")
	if s.Line < 1 || s.Line > len(lines) || !whole.MatchString(lines[s.Line-1]) {
		d.Refuse("change that line", "%s:%d sets it otherwise, among other things", s.File, s.Line)
		return
	}
	d.Edit(s.File, func(string) (string, error) {
		lines[s.Line-1] = "// (gatehouse) " + lines[s.Line-1]
		return strings.Join(lines, "\n"), nil
	})
}

// securityOrigin names the archive of updates for safety where none is named.
func securityOrigin(d *fix.Draft) error {
	c, err := d.Host.AptConf()
	if err != nil {
		return err
	}
	r, _ := d.Host.Release()
	for _, s := range append(c.List("Unattended-Upgrade::Origins-Pattern"), c.List("Unattended-Upgrade::Allowed-Origins")...) {
		if v := strings.ToLower(s.Value); strings.Contains(v, "security") || r.ID == "raspbian" && strings.Contains(v, "raspbian") {
			return nil
		}
	}
	origins := map[string][]string{
		"debian":   {`Unattended-Upgrade::Origins-Pattern:: "origin=Debian,codename=${distro_codename},label=Debian-Security";`, `Unattended-Upgrade::Origins-Pattern:: "origin=Debian,codename=${distro_codename}-security,label=Debian-Security";`},
		"raspbian": {`Unattended-Upgrade::Origins-Pattern:: "origin=Raspbian,codename=${distro_codename},label=Raspbian";`, `Unattended-Upgrade::Origins-Pattern:: "origin=Raspberry Pi Foundation,codename=${distro_codename},label=Raspberry Pi Foundation";`},
		"ubuntu":   {`Unattended-Upgrade::Allowed-Origins:: "${distro_id}:${distro_codename}-security";`},
	}[r.ID]
	if origins == nil {
		return fix.Refuse("name it in Unattended-Upgrade::Origins-Pattern", "it is not known here which archive has the updates for safety of %q", r.ID)
	}
	for _, o := range origins {
		sayLine(d, aptDropIn, "//"+ours, o, func(line string) bool { return line == o })
	}
	return nil
}

// startAtBoot has systemd start a unit at boot and now, if it does not yet.
func startAtBoot(d *fix.Draft, name, wants string) {
	u, err := d.Host.Unit(name)
	if err != nil {
		d.Fail(err)
		return
	}
	changed := false
	if u.Masked && strings.HasPrefix(u.File, "/etc/systemd/system/") {
		d.Delete(u.File)
		changed = true
		if _, err := d.Fix(); err != nil {
			return
		}
		if u, err = d.Host.Unit(name); err != nil {
			d.Fail(err)
			return
		}
	}
	if u.Starts() && !changed {
		return
	}
	if u.File == "" || u.Masked {
		d.Refuse("", "there is no %s, or it is masked where it is shipped", name)
		return
	}
	if u.EnabledBy == "" {
		d.Link("/etc/systemd/system/"+wants+"/"+name, u.File)
	}
	d.Unit("daemon-reload", "")
	d.Unit("start", name)
}

// sourcesRepair has apt take only what is signed again. What is said of one archive stays:
// without its key it would get no updates at all.
func sourcesRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has apt install nothing that nobody signs for.", "An archive whose signature is too old or missing gets no updates until that is mended.")
	all, err := h.AptSources()
	if err != nil {
		return finding.Fix{}, err
	}
	r, err := h.Release()
	if err != nil {
		return finding.Fix{}, err
	}
	if n := slices.IndexFunc(all, func(s facts.AptSource) bool {
		return s.Trusted && !strings.HasPrefix(s.URI, "file:") && !strings.HasPrefix(s.URI, "copy:") || foreignSuite(r, s)
	}); n >= 0 {
		d.Refuse("get the key from whoever keeps the archive and name it (signed-by=), or take the line out", "%s:%d: whether this archive is needed, and which is its key, only you know", all[n].File, all[n].Line)
	}
	for _, name := range []string{"APT::Get::AllowUnauthenticated", "Acquire::AllowInsecureRepositories", "Acquire::AllowWeakRepositories"} {
		c, err := d.Host.AptConf()
		if err != nil {
			return finding.Fix{}, err
		}
		yes := func(v string) bool { return v == "true" || v == "1" || v == "yes" }
		if s, set := c.Last(name); set && yes(s.Value) {
			aptSet(d, name, "false", func(v string) bool { return !yes(v) })
		}
	}
	return d.Fix()
}
