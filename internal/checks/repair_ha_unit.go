package checks

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
	"gatehouse/internal/ha"
)

// haDropIn is the file in which a repair says its settings of a unit.
const haDropIn = "60-gatehouse.conf"

// haUnitRepair drafts a fix that gives Home Assistant's units settings, "Key=value" each, in
// a file of their own beside the unit. What a later file says otherwise becomes a remark.
func haUnitRepair(does, breaks string, settings func(*fix.Draft, facts.Unit) []string) func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, does, breaks)
		units, err := h.HAUnits()
		if err != nil {
			return finding.Fix{}, err
		}
		if len(units) == 0 {
			d.Refuse("see how Home Assistant is started", "no unit of systemd starts Home Assistant")
		}
		for _, u := range units {
			haUnitSet(d, u, settings(d, u))
		}
		haUnitFelt(d, "try-restart")
		return d.Fix()
	}
}

// haUnitFelt has systemd look at the units and take them up.
func haUnitFelt(d *fix.Draft, verb string) {
	names, err := haUnitNames(d.Host)
	if err != nil {
		d.Fail(err)
		return
	}
	for _, n := range names {
		d.Validate("unit " + n)
	}
	d.Unit("daemon-reload", "")
	for _, n := range names {
		d.Unit(verb, n)
	}
}

// haUnitSet writes settings of a unit so that they hold. A list is emptied first.
func haUnitSet(d *fix.Draft, u facts.Unit, settings []string) {
	file := "/etc/systemd/system/" + u.Name + ".d/" + haDropIn
	text := d.Text(file)
	if text == "" {
		text = "# Written by gatehouse; \"gatehouse undo\" takes it back.\n[Service]\n"
	}
	var kept strings.Builder
	for line := range strings.Lines(text) {
		key, _, _ := strings.Cut(line, "=")
		if !slices.ContainsFunc(settings, func(s string) bool { return strings.HasPrefix(s, key+"=") }) {
			kept.WriteString(line)
		}
	}
	d.Write(file, 0o644, kept.String()+strings.Join(settings, "\n")+"\n")
	const most = 20
	for range most {
		if d.Host.HADir == "" {
			break
		}
		later := haSaidLater(d, u.Name, file, settings)
		if later == nil {
			return
		}
		if !strings.HasPrefix(later.File, "/etc/systemd/system/") {
			d.Refuse("", "%s:%d says otherwise", later.File, later.Line)
			return
		}
		remark(d, later.File, later.Line)
		if _, err := d.Fix(); err != nil {
			return
		}
	}
}

// haSaidLater is a line that systemd reads after ours and that says something else.
func haSaidLater(d *fix.Draft, name, file string, settings []string) *facts.UnitSetting {
	units, err := d.Host.HAUnits()
	if err != nil {
		d.Fail(err)
		return nil
	}
	for _, u := range units {
		if u.Name != name {
			continue
		}
		for _, s := range settings {
			key, _, _ := strings.Cut(s, "=")
			if last, _ := u.Last("Service", key); last.File != file && last.File != u.File && path.Base(last.File) > haDropIn && last.Value != "" {
				return &last
			}
		}
	}
	return nil
}

// haPlain are paths that need no quotes in a unit.
func haPlain(d *fix.Draft, all []string) []string {
	for _, p := range all {
		if strings.ContainsAny(p, " \t\"'%\\$:;") {
			d.Refuse("", "%s is no plain path", p)
		}
	}
	return all
}

// haUses is what the integrations in use need of the machine. Where they cannot be told, it
// is taken for needed.
type haUses struct{ bluetooth, packets, lowPort bool }

func haUse(d *fix.Draft) haUses {
	var u haUses
	entries, err := d.Host.HAEntries()
	root, rootErr := d.Host.HAConfiguration()
	u.bluetooth, u.packets = err != nil, err != nil || rootErr != nil
	for _, e := range entries {
		u.bluetooth = u.bluetooth || !e.Disabled && e.Domain == "bluetooth"
		u.packets = u.packets || !e.Disabled && (e.Domain == "bluetooth" || e.Domain == "ping" || e.Domain == "dhcp")
	}
	if rootErr == nil {
		for _, domain := range []string{"default_config", "dhcp", "ping"} {
			all, _ := root.Sections(domain)
			u.packets = u.packets || len(all) > 0
		}
	}
	s, _ := d.Host.HASettings()
	u.lowPort = s.Source == "" || s.HTTP.ServerPort < 1024
	return u
}

// capabilities that Home Assistant may have: nothing, or those few.
func (u haUses) capabilities() string {
	var all []string
	if u.bluetooth {
		all = append(all, "CAP_NET_ADMIN")
	}
	if u.packets || u.bluetooth {
		all = append(all, "CAP_NET_RAW")
	}
	if u.lowPort {
		all = append(all, "CAP_NET_BIND_SERVICE")
	}
	return strings.Join(all, " ")
}

func haRepairPrivileges() func(*facts.Host) (finding.Fix, error) {
	return haUnitRepair("Has systemd start Home Assistant so that it can gain no rights, and keeps those that Bluetooth and the search for devices need.",
		"A command of Home Assistant's that uses sudo, or another program with the rights of root, fails.", func(d *fix.Draft, u facts.Unit) []string {
			if user, _ := u.Last("Service", "User"); (user.Value == "" || user.Value == "root" || user.Value == "0") && !haUnitTrue(u, "DynamicUser") {
				d.Refuse("gatehouse fix ha.not-root", "as root without its rights Home Assistant could not read files that belong to others")
				return nil
			}
			root, err := d.Host.HAConfiguration()
			if err != nil {
				d.Fail(err)
				return nil
			}
			root.Walk(func(keys []string, n *ha.Node) {
				if slices.Contains(strings.Fields(n.Value()), "sudo") && len(keys) > 0 {
					d.Refuse("give such a command a service of its own, as a rule of sudo for one program does not survive this", "%s: a command uses sudo", n.Place)
				}
			})
			caps := haUse(d).capabilities()
			set := []string{"NoNewPrivileges=yes", "RestrictSUIDSGID=yes", "CapabilityBoundingSet="}
			if caps != "" {
				set = append(set, "CapabilityBoundingSet="+caps, "AmbientCapabilities=", "AmbientCapabilities="+caps)
			}
			return set
		})
}

// haWrites are the folders that Home Assistant writes to: its configuration, the environment
// of Python in which it installs what integrations need, and what it was allowed.
func haWrites(d *fix.Draft, u facts.Unit) []string {
	all := []string{path.Clean(d.Host.HADir)}
	words := strings.Fields(u.Start().Value)
	for n, w := range words {
		if (w == "-c" || w == "--config") && n+1 < len(words) && path.IsAbs(words[n+1]) {
			all = append(all, path.Clean(words[n+1]))
		}
		if value, ok := strings.CutPrefix(w, "--config="); ok && path.IsAbs(value) {
			all = append(all, path.Clean(value))
		}
	}
	venv := haVenv(u)
	if there, err := d.Host.Exists(venv + "/pyvenv.cfg"); err == nil && there && path.IsAbs(venv) {
		all = append(all, venv)
	}
	if block, err := haCoreBlock(d.Host); err == nil {
		for _, key := range []string{"allowlist_external_dirs", "whitelist_external_dirs", "media_dirs"} {
			block.Get(key).Walk(func(_ []string, n *ha.Node) {
				if dir := path.Clean(n.Value()); n.Kind == ha.TextNode && path.IsAbs(dir) && !haTooMuch(d.Host, dir) {
					all = append(all, "-"+dir)
				}
			})
		}
	}
	var out []string
	for _, dir := range all {
		if !slices.Contains(out, dir) {
			out = append(out, dir)
		}
	}
	return haPlain(d, out)
}

func haRepairFiles() func(*facts.Host) (finding.Fix, error) {
	return haUnitRepair("Has systemd let Home Assistant write to its own folders only, and gives it a /tmp of its own.",
		"An integration that writes elsewhere, or hands files to another program in /tmp, fails: name its folder in allowlist_external_dirs, or in ReadWritePaths of this file.", func(d *fix.Draft, u facts.Unit) []string {
			if d.Host.HADir == "" {
				d.Refuse("say where it is: --ha DIR", "it is not known where Home Assistant's configuration is")
				return nil
			}
			dirs := haWrites(d, u)
			home := "yes"
			for _, dir := range append(slices.Clone(dirs), path.Dir(strings.Fields(u.Start().Value + " /")[0])) {
				dir = strings.TrimPrefix(dir, "-")
				for _, private := range []string{"/home", "/root", "/run/user"} {
					if dir == private || strings.HasPrefix(dir, private+"/") {
						home = "read-only"
					}
				}
			}
			return []string{"ProtectSystem=strict", "ReadWritePaths=", "ReadWritePaths=" + strings.Join(dirs, " "), "ProtectHome=" + home, "PrivateTmp=yes", "UMask=0027"}
		})
}

// haDevices are the kinds of devices that homes have: sticks, sound, cameras, pins. Without
// them ProtectClock would take all but the clock away.
func haDevices() []string {
	set := []string{"DevicePolicy=closed", "DeviceAllow="}
	for _, kind := range []string{"ttyUSB", "ttyACM", "ttyAMA", "ttyS", "usb_device", "hidraw", "alsa", "video4linux", "drm", "gpiochip", "i2c", "spi", "input"} {
		set = append(set, "DeviceAllow=char-"+kind+" rw")
	}
	return append(set, "DeviceAllow=char-rtc r")
}

func haRepairDevices() func(*facts.Host) (finding.Fix, error) {
	return haUnitRepair("Has systemd give Home Assistant sticks, sound, cameras and pins, and no disks.",
		"An integration for a rare kind of device does not find it: name it in DeviceAllow of this file.", func(*fix.Draft, facts.Unit) []string { return haDevices() })
}

func haRepairKernel() func(*facts.Host) (finding.Fix, error) {
	return haUnitRepair("Has systemd keep Home Assistant away from the kernel's settings, modules and clock.",
		"An integration that switches pins by files in /sys fails.", func(*fix.Draft, facts.Unit) []string {
			var set []string
			for _, key := range []string{"ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups", "ProtectClock", "ProtectHostname",
				"LockPersonality", "RestrictRealtime", "RestrictNamespaces"} {
				set = append(set, key+"=yes")
			}
			return append(set, haDevices()...)
		})
}

func haRepairSyscalls() func(*facts.Host) (finding.Fix, error) {
	return haUnitRepair("Has systemd leave Home Assistant the system calls of a service and the kinds of network that its integrations use.",
		"An integration that speaks over a rare kind of network, such as CAN, fails: name it in RestrictAddressFamilies of this file.", func(d *fix.Draft, _ facts.Unit) []string {
			families := "AF_UNIX AF_INET AF_INET6 AF_NETLINK"
			use := haUse(d)
			if use.packets || use.bluetooth {
				families += " AF_PACKET"
			}
			if use.bluetooth {
				families += " AF_BLUETOOTH"
			}
			return []string{"SystemCallArchitectures=native", "SystemCallFilter=", "SystemCallFilter=@system-service", "SystemCallErrorNumber=EPERM", "RestrictAddressFamilies=", "RestrictAddressFamilies=" + families}
		})
}

func haRepairRestart() func(*facts.Host) (finding.Fix, error) {
	return haUnitRepair("Has systemd start Home Assistant again when it fails.", "", func(*fix.Draft, facts.Unit) []string {
		return []string{"Restart=on-failure", "RestartSec=5", "RestartForceExitStatus=100"}
	})
}

// haRepairNotRoot gives Home Assistant an account, the files of its configuration, and the
// folders in which it installs what integrations need.
func haRepairNotRoot() func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, "Gives Home Assistant an account of its own, hands its files over to it and has systemd start it as that.",
			"A command or integration that needs root fails; so does a file that only root may read.")
		units, err := h.HAUnits()
		if err != nil {
			return finding.Fix{}, err
		}
		haCanMove(d, units)
		uid, gid := haAccount(d)
		for _, u := range units {
			if user, _ := u.Last("Service", "User"); haUnitTrue(u, "DynamicUser") || user.Value != "" && user.Value != "root" && user.Value != "0" {
				continue
			}
			set := []string{"User=homeassistant", "Group=homeassistant"}
			if groups := haDeviceGroups(d); groups != "" {
				set = append(set, "SupplementaryGroups=", "SupplementaryGroups="+groups)
			}
			if caps := haUse(d).capabilities(); caps != "" {
				set = append(set, "AmbientCapabilities=", "AmbientCapabilities="+caps)
			}
			haUnitSet(d, u, set)
			if venv := haVenv(u); path.IsAbs(venv) {
				haHandOver(d, venv, uid, gid, true)
			}
		}
		haHandOver(d, path.Clean(h.HADir), uid, gid, false)
		d.Validate("accounts")
		haUnitFelt(d, "start")
		return d.Fix()
	}
}

// haCanMove refuses homes in which Home Assistant could not go on as somebody else.
func haCanMove(d *fix.Draft, units []facts.Unit) {
	h := d.Host
	if len(units) == 0 {
		d.Refuse("see how Home Assistant is started, and start it as somebody else there", "no unit of systemd starts Home Assistant")
		return
	}
	if h.HADir == "" {
		d.Refuse("say where it is: --ha DIR", "it is not known where Home Assistant's configuration is")
		return
	}
	if h.Live {
		running, err := h.HAProcesses()
		if err != nil {
			d.Fail(err)
			return
		}
		if len(running) > 0 {
			d.Refuse("systemctl stop "+units[0].Name+", then try again: Home Assistant is started afterwards", "Home Assistant runs, and would leave files of root's behind when it stops")
			return
		}
	}
	for _, u := range units {
		for _, dir := range haWrites(d, u) {
			if strings.HasPrefix(dir, "/root/") || strings.HasPrefix(dir, "/home/") {
				d.Refuse("move it to /srv/homeassistant, change the unit, and try again", "%s is in somebody's home, which the new account may not enter", dir)
				return
			}
			for at := path.Dir(strings.TrimPrefix(dir, "-")); at != "/"; at = path.Dir(at) {
				if info, err := h.Stat(at); err == nil && info.Mode.Perm()&0o001 == 0 {
					d.Refuse("chmod o+x "+at, "the new account may not enter %s, on the way to %s", at, dir)
					return
				}
			}
		}
		if words := strings.Fields(u.Start().Value); len(words) > 0 && strings.HasPrefix(strings.TrimLeft(words[0], "-@:+!"), "/root/") {
			d.Refuse("install it in /srv/homeassistant, change the unit, and try again", "%s is in root's home", words[0])
			return
		}
	}
	s, err := h.HASettings()
	if s.Source == "" {
		d.Fail(cmp.Or(err, errors.New("the http settings of Home Assistant are not known")))
		return
	}
	if key := s.HTTP.SSLKey; key != "" && !strings.HasPrefix(path.Clean(key), path.Clean(h.HADir)+"/") {
		d.Refuse("let a proxy hold the certificate, or copy it into the configuration after each renewal", "%s: the new account could not read it", key)
	}
}

// haAccount is the account of Home Assistant, made as "adduser --system --group" does where
// there is none.
func haAccount(d *fix.Draft) (uid, gid uint32) {
	const name = "homeassistant"
	users, err := d.Host.Users()
	groups, groupErr := d.Host.Groups()
	if err := errors.Join(err, groupErr); err != nil {
		d.Fail(err)
		return 0, 0
	}
	group := slices.IndexFunc(groups, func(g facts.Group) bool { return g.Name == name })
	taken := map[int]bool{}
	for _, u := range users {
		if u.Name == name {
			if u.UID == 0 || u.UID >= 1000 || group < 0 || groups[group].GID != u.GID {
				d.Refuse("name another account in the unit", "there is an account %s already, which is no account of a service", name)
			}
			return uint32(u.UID), uint32(u.GID)
		}
		taken[u.UID] = true
	}
	for _, g := range groups {
		taken[g.GID] = true
	}
	if group >= 0 {
		d.Refuse("remove it if nobody needs it, then try again", "there is a group %s without an account", name)
		return 0, 0
	}
	const first, last = 100, 999
	id := first
	for taken[id] {
		id++
	}
	if id > last {
		d.Refuse("", "no number below 1000 is free")
		return 0, 0
	}
	haAppend(d, "/etc/group", fmt.Sprintf("%s:x:%d:", name, id), true)
	haAppend(d, "/etc/gshadow", name+":!::", false)
	haAppend(d, "/etc/passwd", fmt.Sprintf("%s:x:%d:%d:Home Assistant:%s:/usr/sbin/nologin", name, id, id, path.Clean(d.Host.HADir)), true)
	haAppend(d, "/etc/shadow", fmt.Sprintf("%s:!:%d::::::", name, d.Host.Now.Unix()/86400), true)
	d.Secret("/etc/shadow")
	d.Secret("/etc/gshadow")
	return uint32(id), uint32(id)
}

// haAppend adds a line to a file of accounts.
func haAppend(d *fix.Draft, file, line string, needed bool) {
	if there, err := d.Host.Exists(file); err == nil && !there && !needed {
		return
	}
	d.Edit(file, func(text string) (string, error) {
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		return text + line + "\n", nil
	})
}

// haDeviceGroups are the groups to which sticks, sound, pins and Bluetooth belong, as far as
// they are there.
func haDeviceGroups(d *fix.Draft) string {
	groups, err := d.Host.Groups()
	if err != nil {
		d.Fail(err)
		return ""
	}
	var names []string
	for _, want := range []string{"dialout", "plugdev", "bluetooth", "audio", "video", "render", "gpio", "i2c", "spi", "uucp"} {
		if slices.ContainsFunc(groups, func(g facts.Group) bool { return g.Name == want }) {
			names = append(names, want)
		}
	}
	return strings.Join(names, " ")
}

// haHandOver gives what is root's below a folder to an account, of an environment of Python
// its folders alone: in them it installs and removes. What belongs to others stays theirs.
func haHandOver(d *fix.Draft, dir string, uid, gid uint32, folders bool) {
	const most = 20000
	h := d.Host
	var all []string
	if folders {
		there, err := h.Exists(dir + "/pyvenv.cfg")
		if err != nil {
			d.Fail(err)
		}
		if !there {
			return
		}
	}
	var walk func(name string, deep int) error
	walk = func(name string, deep int) error {
		info, err := h.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case !info.Mode.IsDir() && !info.Mode.IsRegular() && info.Mode&fs.ModeSymlink == 0:
			return nil
		}
		if len(all) >= most || deep > 40 {
			return fix.Refuse("", "%s holds more than can be handed over", dir)
		}
		switch {
		case info.UID == 0 && info.Mode.IsRegular() && !folders && info.Mode&(fs.ModeSetuid|fs.ModeSetgid) != 0:
			return fix.Refuse("take that right away, or move the program to /usr/local/bin", "%s acts as root whoever starts it, and would again when this is undone", name)
		case info.UID == 0 && (info.Mode.IsDir() || !folders):
			all = append(all, name)
		case info.UID != uid && info.UID != 0 && !folders && info.Mode&fs.ModeSymlink == 0 && info.Mode.Perm()&0o004 == 0:
			return fix.Refuse("give it to Home Assistant or let everybody read it", "%s belongs to account %d, and the new account could not read it", name, info.UID)
		}
		if !info.Mode.IsDir() || folders && (path.Base(name) == "share" || path.Base(name) == "include") {
			return nil
		}
		names, err := h.Dir(name)
		if err != nil {
			return err
		}
		for _, n := range names {
			if err := walk(name+"/"+n, deep+1); err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(dir, 0); err != nil {
		d.Fail(err)
		return
	}
	for _, name := range all {
		d.Owner(name, uid, gid)
	}
}

// haStopped makes sure that Home Assistant does not run: it keeps its sign-ins in memory and
// writes them down when it stops.
func haStopped(d *fix.Draft) {
	if d.Host.HAOnly {
		d.Refuse("let each account delete them under its profile, Security: Home Assistant lets nobody else do it", "it is not certain that Home Assistant does not run: only its folder was looked at")
		return
	}
	if !d.Host.Live {
		return // a root that lies still
	}
	running, err := d.Host.HAProcesses()
	listens := false
	if err == nil && len(running) == 0 {
		var sockets []facts.Socket
		sockets, err = d.Host.Sockets()
		s, _ := d.Host.HASettings()
		listens = slices.ContainsFunc(sockets, func(l facts.Socket) bool { return l.Proto == "tcp" && int(l.At.Port()) == s.HTTP.ServerPort })
	}
	switch {
	case len(running) > 0 || listens:
		d.Refuse("stop Home Assistant and try again; or let each account delete them under its profile, Security: Home Assistant lets nobody else do it", "Home Assistant runs, and writes its list of sign-ins anew when it stops")
	case err != nil:
		d.Refuse("", "it is not certain that Home Assistant does not run: %v", err)
	}
}

// haRepairTokens takes sign-ins out of .storage/auth that a check finds bad.
func haRepairTokens(does, breaks string, bad func(h *facts.Host, a facts.HAAuth, t facts.HAToken) bool) func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, does, breaks)
		a, err := h.HAAuth()
		if err != nil {
			return finding.Fix{}, err
		}
		haStopped(d)
		file := h.HAPath(".storage/auth")
		d.Edit(file, func(text string) (string, error) {
			after, err := ha.DropTokens([]byte(text), func(n int) bool { return n < len(a.Tokens) && bad(h, a, a.Tokens[n]) })
			return string(after), err
		})
		d.Secret(file)
		return d.Fix()
	}
}

// haForgotten reports whether a sign-in was not used for three months.
func haForgotten(h *facts.Host, t facts.HAToken) bool {
	last := t.LastUsed
	if last.IsZero() {
		last = t.Created
	}
	return !last.IsZero() && haDaysAgo(h, last) > 90
}

func haRepairLongLived() func(*facts.Host) (finding.Fix, error) {
	return haRepairTokens("Takes long-lived tokens out of Home Assistant that were not used for three months, or have no name.", "A program that still has such a token no longer gets in.",
		func(h *facts.Host, _ facts.HAAuth, t facts.HAToken) bool {
			return t.Type == "long_lived_access_token" && (strings.TrimSpace(t.ClientName) == "" || haForgotten(h, t))
		})
}

func haRepairStale() func(*facts.Host) (finding.Fix, error) {
	return haRepairTokens("Ends sign-ins that nobody used for three months.", "A browser or app that was away for that long asks for the password again.",
		func(h *facts.Host, _ facts.HAAuth, t facts.HAToken) bool {
			return t.Type == "normal" && haForgotten(h, t)
		})
}

func haRepairInactive() func(*facts.Host) (finding.Fix, error) {
	return haRepairTokens("Ends the sign-ins of accounts that are turned off, or gone.", "",
		func(_ *facts.Host, a facts.HAAuth, t facts.HAToken) bool {
			u := a.User(t.UserID)
			return u.ID == "" || !u.Active
		})
}
