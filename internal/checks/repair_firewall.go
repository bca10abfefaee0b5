package checks

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
)

// Our rules are a file of their own, which nftables.conf includes: it can be loaded alone,
// and touches no table but ours. Docker's and other programs' rules stay as they are.
const (
	nftFile  = "/etc/nftables.conf"
	nftRules = "/etc/nftables.d/gatehouse.nft"
)

// opening is a port that is let in.
type opening struct {
	proto string // "tcp" or "udp"
	port  string // "22", "32768-60999"
	who   string
	all   bool // from everywhere; otherwise from the home network alone
}

// firewallRepair drafts a firewall that keeps out what nobody here serves.
func firewallRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Sets up a firewall (nftables) that lets in what this home serves now, most of it from the home network alone, and keeps out the rest.",
		"What is not in the list that is shown is not reached any more: a program that is installed later, and Home Assistant's own port from outside without a VPN or a proxy.")
	all, err := h.Firewalls()
	if err != nil {
		return finding.Fix{}, err
	}
	for _, f := range all {
		if f.Enabled && f.Name != "nftables" {
			firewallTheirs(d, f)
			return d.Fix()
		}
	}
	doors, err := openings(h)
	if err != nil {
		return finding.Fix{}, err
	}
	firewallLay(d, firewallRules(h, doors))
	return d.Fix()
}

// firewallTheirs says what to do where another program looks after the firewall: its own
// rules may rest on what it does not deny today.
func firewallTheirs(d *fix.Draft, f facts.Firewall) {
	hint := map[string]string{
		"ufw":       "let in what you use (ufw allow OpenSSH, ufw allow from 192.168.0.0/16), then: ufw default deny incoming",
		"firewalld": "let in what you use, then: firewall-cmd --permanent --zone=public --set-target=default, and firewall-cmd --reload",
		"iptables":  "let in what you use, for IPv6 in rules.v6 too, then set the policy of INPUT to DROP",
	}[f.Name]
	d.Refuse(hint, "%s looks after the firewall here (%s), and has rules of its own", f.Name, f.File)
}

// firewallLay lays the rules down, has nft look at them and load them, and has systemd
// load them at each start.
func firewallLay(d *fix.Draft, rules string) {
	unit, there, err := d.Host.UnitFile("nftables.service")
	if err != nil {
		d.Fail(err)
		return
	}
	if !exists(d.Host, "/usr/sbin/nft") && !exists(d.Host, "/sbin/nft") {
		d.Refuse("apt install nftables", "nftables is not installed")
		return
	}
	if !there {
		d.Refuse("systemctl unmask nftables", "there is no nftables.service, or it is masked")
		return
	}
	if exists(d.Host, "/etc/sysconfig/nftables.conf") {
		d.Refuse("use firewalld: systemctl enable --now firewalld", "this system reads its rules from /etc/sysconfig/nftables.conf")
		return
	}
	d.Write(nftRules, 0o600, rules)
	if was := d.Text(nftFile); was == "" {
		d.Write(nftFile, 0o755, "#!/usr/sbin/nft -f\n#"+ours+"include \""+nftRules+"\"\n")
	} else if !strings.Contains(was, `include "`+nftRules+`"`) {
		for n, line := range strings.Split(was, "\n") {
			// It would take Docker's rules away. A file with rules of its own needs it.
			if strings.Join(strings.Fields(line), " ") == "flush ruleset" && firewallFree(d.Host) == nil {
				remark(d, nftFile, n+1)
			}
		}
		d.Edit(nftFile, func(text string) (string, error) {
			return strings.TrimSuffix(text, "\n") + "\ninclude \"" + nftRules + "\"\n", nil
		})
	}
	if u, err := d.Host.Unit("nftables.service"); err != nil {
		d.Fail(err)
	} else if !u.Starts() {
		d.Link("/etc/systemd/system/sysinit.target.wants/nftables.service", unit)
		d.Unit("daemon-reload", "")
	}
	d.Guard()
	d.Validate("nft")
	d.Run("firewall")
}

// firewallFree makes sure that the file of nftables holds nothing that our rules would
// stand beside: rules of the owner's that let something in let nothing in any more where a
// second table denies it.
func firewallFree(h *facts.Host) error {
	t, err := textOr(h, nftFile)
	if err != nil {
		return err
	}
	for n, line := range t.Lines {
		line, _, _ = strings.Cut(line, "#")
		for said := range strings.FieldsFuncSeq(line, func(r rune) bool { return strings.ContainsRune("{};", r) }) {
			words := strings.Fields(said)
			if len(words) == 0 || slices.Contains([]string{"table", "chain", "type", "policy"}, words[0]) || strings.Join(words, " ") == "flush ruleset" || words[0] == "include" && strings.Contains(said, `"`+nftRules+`"`) {
				continue
			}
			return fix.Refuse("add the rules that are missing there, and \"policy drop;\" to the chain of input", "%s:%d: there are rules of your own", nftFile, n+1)
		}
	}
	return nil
}

// openings are what this home serves: what its configurations say, and on the running
// machine what listens.
func openings(h *facts.Host) ([]opening, error) {
	if err := firewallFree(h); err != nil {
		return nil, err
	}
	var all []opening
	for _, read := range []func(*facts.Host) ([]opening, error){openingsSSH, openingsHome, openingsVPN, openingsUnits, openingsLive} {
		some, err := read(h)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// openingsSSH are the ports of sshd, from everywhere: whoever is logged in by one of them
// comes in again. A socket unit's count as well.
func openingsSSH(h *facts.Host) ([]opening, error) {
	s, err := h.SSHD()
	if errors.Is(err, facts.ErrNoSSHD) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var ports []string
	for _, l := range s.Lines("port") {
		ports = append(ports, l.Args...)
	}
	listens, _, err := sshSocket(h)
	if err != nil {
		return nil, err
	}
	words := []string{}
	for _, l := range s.Lines("listenaddress") {
		words = append(words, l.Args...)
	}
	for _, l := range listens {
		words = append(words, l.Value)
	}
	for _, w := range words {
		if strings.Trim(w, "0123456789") == "" {
			ports = append(ports, w)
		} else if at := strings.LastIndexByte(w, ':'); at >= 0 && (strings.Count(w, ":") == 1 || w[at-1] == ']') {
			ports = append(ports, w[at+1:])
		}
	}
	if len(ports) == 0 || len(listens) == 0 && len(s.Lines("port")) == 0 {
		ports = append(ports, "22")
	}
	var all []opening
	for _, p := range ports {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("it is not known on which port the SSH server listens: %q is none", p)
		}
		all = append(all, opening{"tcp", p, "SSH", true})
	}
	return all, nil
}

// openingsHome are Home Assistant's port, Gatehouse's doors, and what Home Assistant's
// integrations wait for.
func openingsHome(h *facts.Host) ([]opening, error) {
	var all []opening
	doors, err := h.Doors()
	if err != nil {
		return nil, err
	}
	for _, d := range doors {
		if !d.Loopback {
			all = append(all, opening{d.Proto, strconv.Itoa(d.Port), "Gatehouse's door " + d.Name, d.Name != "lan"})
		}
	}
	if h.HADir == "" { // it may be here all the same
		return append(all, opening{"tcp", "8123", "Home Assistant", false}), nil
	}
	s, err := h.HASettings()
	if err != nil {
		return nil, err
	}
	port := strconv.Itoa(s.HTTP.ServerPort)
	outside := false
	if e, err := h.ExternalURL(); err == nil {
		u, uerr := url.Parse(e.Value)
		outside = uerr == nil && u.Port() == port
	}
	all = append(all, opening{"tcp", port, "Home Assistant", outside})
	entries, err := h.HAEntries()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		all = append(all, waitedFor(e.Domain)...)
	}
	return all, nil
}

// waitedFor are the ports on which an integration of Home Assistant waits for its devices.
func waitedFor(domain string) []opening {
	switch domain {
	case "sonos":
		return []opening{{"tcp", "1400", "Sonos", false}}
	case "homekit":
		return []opening{{"tcp", "21063-21100", "HomeKit", false}}
	case "shelly":
		return []opening{{"udp", "5683", "Shelly", false}}
	case "xiaomi_aqara":
		return []opening{{"udp", "9898", "Aqara", false}}
	case "go2rtc":
		return []opening{{"tcp", "8555", "WebRTC", false}, {"udp", "8555", "WebRTC", false}}
	case "emulated_hue":
		return []opening{{"tcp", "8300", "emulated Hue", false}}
	case "voip":
		return []opening{{"udp", "5060", "SIP", false}}
	case "matter":
		return []opening{{"udp", "5540", "Matter", false}}
	case "dlna_dmr", "dlna_dms", "upnp", "samsungtv":
		return []opening{{"tcp", "32768-60999", "UPnP events", false}}
	}
	return nil
}

// openingsVPN are the ports on which tunnels wait.
func openingsVPN(h *facts.Host) ([]opening, error) {
	tunnels, err := h.WireGuards()
	if err != nil && len(tunnels) == 0 && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []opening
	for _, w := range tunnels {
		if n, err := strconv.ParseUint(w.Port, 10, 16); err == nil && n > 0 {
			all = append(all, opening{"udp", w.Port, "WireGuard", true})
		}
	}
	return all, nil
}

// openingsUnits are the usual ports of servers that are started at boot.
func openingsUnits(h *facts.Host) ([]opening, error) {
	var all []opening
	for _, one := range []struct {
		units  []string
		all    bool
		tcp    []string
		udp    []string
		called string
	}{
		{[]string{"nginx.service", "apache2.service", "caddy.service", "haproxy.service", "traefik.service", "lighttpd.service"}, true, []string{"80", "443"}, nil, "web server"},
		{[]string{"caddy.service", "traefik.service"}, true, nil, []string{"443"}, "web server"},
		{[]string{"tailscaled.service"}, true, nil, []string{"41641"}, "Tailscale"},
		{[]string{"openvpn-server@server.service", "openvpn@server.service"}, true, nil, []string{"1194"}, "OpenVPN"},
		{[]string{"zerotier-one.service"}, true, nil, []string{"9993"}, "ZeroTier"},
		{[]string{"mosquitto.service"}, false, []string{"1883", "8883"}, nil, "Mosquitto"},
		{[]string{"smbd.service"}, false, []string{"139", "445"}, []string{"137", "138"}, "Samba"},
		{[]string{"nfs-server.service", "nfs-kernel-server.service"}, false, []string{"111", "2049"}, []string{"111"}, "NFS"},
		{[]string{"pihole-FTL.service", "AdGuardHome.service", "dnsmasq.service", "named.service", "unbound.service"}, false, []string{"53", "80"}, []string{"53"}, "names"},
		{[]string{"cups.service", "cups.socket"}, false, []string{"631"}, nil, "CUPS"},
		{[]string{"zigbee2mqtt.service"}, false, []string{"8080"}, nil, "Zigbee2MQTT"},
		{[]string{"nodered.service", "node-red.service"}, false, []string{"1880"}, nil, "Node-RED"},
		{[]string{"esphome.service", "esphome-dashboard.service"}, false, []string{"6052"}, nil, "ESPHome"},
		{[]string{"grafana-server.service"}, false, []string{"3000"}, nil, "Grafana"},
		{[]string{"cockpit.socket"}, false, []string{"9090"}, nil, "Cockpit"},
		{[]string{"otbr-agent.service"}, false, []string{"8081"}, nil, "Thread"},
		{[]string{"music-assistant.service"}, false, []string{"8095", "8097"}, nil, "Music Assistant"},
		{[]string{"snapserver.service"}, false, []string{"1704", "1705", "1780"}, nil, "Snapcast"},
	} {
		for _, name := range one.units {
			u, err := h.Unit(name)
			if err != nil {
				return nil, err
			}
			if !u.Starts() {
				continue
			}
			for _, p := range one.tcp {
				all = append(all, opening{"tcp", p, one.called, one.all})
			}
			for _, p := range one.udp {
				all = append(all, opening{"udp", p, one.called, one.all})
			}
		}
	}
	return all, nil
}

// openingsLive are what listens on the running machine: it stays open to the home network.
// What serves SSH, the web or a tunnel stays open to everybody.
func openingsLive(h *facts.Host) ([]opening, error) {
	if !h.Live {
		return nil, nil
	}
	sockets, err := h.Sockets()
	if err != nil && (len(sockets) == 0 || !errors.Is(err, fs.ErrPermission)) {
		return nil, err
	}
	var all []opening
	for _, s := range sockets {
		if s.Loopback() {
			continue
		}
		port := int(s.At.Port())
		who := plainName(cmp.Or(s.Process, "in use"))
		switch {
		case s.Proto == "udp" && (port == 68 || port == 546 || port == 5353 || port == 1900):
			continue // are let in anyhow
		case s.Proto == "udp" && port == 67:
			all = append(all, opening{"udp", "67", "DHCP server", true})
		case s.Proto == "tcp" && port >= 32768 && port <= 60999:
			// It is another one after the next start.
			all = append(all, opening{"tcp", "32768-60999", who, false})
		case slices.Contains([]string{"sshd", "dropbear"}, s.Process), s.Proto == "tcp" && port == 22, port == 80 || port == 443, s.Proto == "udp" && port == 51820, s.Proto == "udp" && slices.Contains([]string{"tailscaled", "openvpn", "zerotier-one"}, s.Process):
			all = append(all, opening{s.Proto, strconv.Itoa(port), who, true})
		default:
			all = append(all, opening{s.Proto, strconv.Itoa(port), who, false})
		}
	}
	return all, nil
}

// plainName is a name of which nothing is more than a name.
func plainName(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 && (r == ' ' || r == '-' || r == '.' || r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z') {
			return r
		}
		return '?'
	}, s)
}

// firewallRules writes the rules.
func firewallRules(h *facts.Host, doors []opening) string {
	var b strings.Builder
	b.WriteString("#!/usr/sbin/nft -f\n#" + ours + `# What comes in is dropped unless a rule lets it in. To let in more, add a line and load
# this file: nft -f ` + nftRules + `
table inet gatehouse
delete table inet gatehouse
table inet gatehouse {
	# The home network.
	set home4 {
		type ipv4_addr
		flags interval
		elements = { 10.0.0.0/8, ` + shared4(h) + `169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16 }
	}
	set home6 {
		type ipv6_addr
		flags interval
		elements = { fc00::/7, fe80::/10 }
	}
	chain input {
		type filter hook input priority filter; policy drop;
		iif "lo" accept
		ip saddr 127.0.0.0/8 drop
		ip6 saddr ::1 drop
		ct state established,related accept
		ip protocol igmp accept
		icmp type { destination-unreachable, time-exceeded, parameter-problem, echo-request } accept
		icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem, echo-request, echo-reply, nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report } accept
		# The address of this machine (DHCP).
		udp sport 67 udp dport 68 accept
		ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept
		# How devices are found: mDNS, SSDP, and what answers to a call to all.
		ip saddr @home4 udp dport { 1900, 5353, 32768-60999 } accept
		ip6 saddr @home6 udp dport { 1900, 5353, 32768-60999 } accept
`)
	for _, i := range bridges(h) {
		fmt.Fprintf(&b, "\t\tiifname \"%s\" accept\n", i)
	}
	for _, everybody := range []bool{true, false} {
		for _, proto := range []string{"tcp", "udp"} {
			some := chosen(doors, proto, everybody)
			if len(some) == 0 {
				continue
			}
			b.WriteString(map[bool]string{true: "\t\t# For everybody:\n", false: "\t\t# For the home network:\n"}[everybody])
			var ports []string
			for _, o := range some {
				fmt.Fprintf(&b, "\t\t#   %s %s  %s\n", proto, o.port, o.who)
				ports = append(ports, o.port)
			}
			list := proto + " dport { " + strings.Join(ports, ", ") + " } accept\n"
			if everybody {
				b.WriteString("\t\t" + list)
			} else {
				b.WriteString("\t\tip saddr @home4 " + list + "\t\tip6 saddr @home6 " + list)
			}
		}
	}
	b.WriteString("\t\t# A no lets programs at home try IPv4 at once.\n\t\tip6 saddr 2000::/3 limit rate 20/second reject with icmpv6 type admin-prohibited\n\t}\n}\n")
	return b.String()
}

// shared4 is the range of Tailscale's addresses, where it is used; elsewhere it is strangers'.
func shared4(h *facts.Host) string {
	if exists(h, "/usr/sbin/tailscaled") {
		return "100.64.0.0/10, "
	}
	return ""
}

// bridges are the interfaces by which containers and virtual machines reach this machine.
// Docker's others are called like many a home's own; their addresses are of the home network.
func bridges(h *facts.Host) []string {
	var all []string
	for _, one := range []struct {
		programs []string
		names    []string
	}{
		{[]string{"/usr/bin/dockerd", "/usr/sbin/dockerd", "/usr/local/bin/dockerd"}, []string{"docker0", "hassio"}},
		{[]string{"/usr/bin/podman"}, []string{"podman*", "cni-podman*"}},
		{[]string{"/usr/sbin/libvirtd", "/usr/sbin/virtqemud"}, []string{"virbr*"}},
		{[]string{"/usr/bin/lxc-start"}, []string{"lxcbr*"}},
		{[]string{"/usr/bin/incusd"}, []string{"incusbr*"}},
		{[]string{"/usr/sbin/otbr-agent"}, []string{"wpan*"}},
	} {
		if slices.ContainsFunc(one.programs, func(p string) bool { return exists(h, p) }) {
			all = append(all, one.names...)
		}
	}
	return all
}

// chosen are the ports of a protocol that are for everybody, or for the home network alone,
// in order, each once.
func chosen(doors []opening, proto string, everybody bool) []opening {
	var some []opening
	for _, o := range doors {
		wider := func(p opening) bool { return p.all && p.proto == proto && p.port == o.port }
		if o.proto == proto && o.all == everybody && (everybody || !slices.ContainsFunc(doors, wider)) && !slices.ContainsFunc(some, func(p opening) bool { return p.port == o.port }) {
			some = append(some, o)
		}
	}
	slices.SortFunc(some, func(a, b opening) int { return cmp.Compare(firstPort(a.port), firstPort(b.port)) })
	// A range that holds single ones is enough.
	return slices.DeleteFunc(some, func(o opening) bool {
		return slices.ContainsFunc(some, func(r opening) bool {
			from, to, many := strings.Cut(r.port, "-")
			return many && r.port != o.port && firstPort(from) <= firstPort(o.port) && firstPort(o.port) <= firstPort(to)
		})
	})
}

func firstPort(ports string) int {
	from, _, _ := strings.Cut(ports, "-")
	n, err := strconv.Atoi(from)
	if err != nil {
		return 0
	}
	return n
}

// firewallV6Repair closes for IPv6 what is closed for IPv4.
func firewallV6Repair(h *facts.Host) (finding.Fix, error) {
	b, err := firewalls(h)
	if err != nil {
		return finding.Fix{}, err
	}
	d := fix.Begin(h, "Has the firewall let in over IPv6 what it lets in over IPv4, and no more.", "Who came in over IPv6 by another port comes in no more.")
	if len(b.managers) != 1 || !b.v4.Denies {
		d.Refuse("look at net.firewall-present and net.firewall-single first", "there is no single firewall here that denies anything")
		return d.Fix()
	}
	f := b.managers[0]
	switch {
	case b.v6.Denies:
		d.Refuse("take the line out, or let in the same over IPv4", "%s opens more over IPv6 than over IPv4, on purpose as it seems", f.Name)
	case f.Name == "ufw":
		if exists(h, "/usr/sbin/ufw") || !h.Live {
			shellSet(d, "/etc/default/ufw", "IPV6", "yes")
			d.Guard()
			d.Run("ufw-reload")
			break
		}
		d.Refuse("apt install ufw", "ufw is not installed any more")
	case f.Name == "nftables":
		rules, err := firewallMirror(h, f.V4)
		if err != nil {
			return finding.Fix{}, err
		}
		firewallLay(d, rules)
	default:
		firewallTheirs(d, f)
	}
	return d.Fix()
}

// firewallMirror writes a table for IPv6 that lets in what everybody may come in by over
// IPv4, and what IPv6 itself needs.
func firewallMirror(h *facts.Host, v4 facts.Inbound) (string, error) {
	var b strings.Builder
	b.WriteString("#!/usr/sbin/nft -f\n#" + ours + `# It lets in over IPv6 what ` + path.Base(v4.File) + ` lets everybody in by over IPv4.
table ip6 gatehouse
delete table ip6 gatehouse
table ip6 gatehouse {
	chain input {
		type filter hook input priority filter; policy drop;
		iif "lo" accept
		ip6 saddr ::1 drop
		ct state established,related accept
		icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem, echo-request, echo-reply, nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report } accept
		ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept
		ip6 saddr fe80::/10 udp dport { 1900, 5353, 32768-60999 } accept
`)
	for _, i := range bridges(h) {
		fmt.Fprintf(&b, "\t\tiifname \"%s\" accept\n", i)
	}
	for _, o := range v4.Opens {
		from := ""
		if o.From != "" {
			prefix, err := netip.ParsePrefix(strings.TrimPrefix(o.From, "saddr "))
			if err != nil || !prefix.Addr().IsPrivate() {
				continue
			}
			from = "ip6 saddr { fc00::/7, fe80::/10 } "
		}
		if len(o.Ports) == 0 || o.Proto == "" || slices.ContainsFunc(o.Ports, func(p string) bool { return strings.Trim(p, "0123456789-abcdefghijklmnopqrstuvwxyz") != "" }) {
			return "", fix.Refuse("write it in a table of the family inet, which is for both", "%s:%d: it is not known what this rule would be for IPv6", o.File, o.Line)
		}
		fmt.Fprintf(&b, "\t\t%s%s dport { %s } accept\n", from, o.Proto, strings.Join(o.Ports, ", "))
	}
	b.WriteString("\t}\n}\n")
	return b.String(), nil
}

// shellSet changes NAME=value in a file of such lines, or adds it.
func shellSet(d *fix.Draft, file, name, value string) {
	d.Edit(file, func(text string) (string, error) {
		lines := strings.SplitAfter(text, "\n")
		found := false
		for n, l := range lines {
			if k, _, ok := strings.Cut(strings.TrimSpace(l), "="); ok && strings.TrimSpace(k) == name {
				lines[n], found = name+"="+value+"\n", true
			}
		}
		if !found {
			if last := len(lines) - 1; lines[last] != "" {
				lines[last] += "\n"
			}
			lines = append(lines, name+"="+value+"\n")
		}
		return strings.Join(lines, ""), nil
	})
}

// haPortRepair closes Home Assistant's port to strangers where no firewall is yet.
func haPortRepair(h *facts.Host) (finding.Fix, error) {
	b, err := firewalls(h)
	if err != nil {
		return finding.Fix{}, err
	}
	if e, err := h.ExternalURL(); err == nil {
		s, err := h.HASettings()
		if err != nil {
			return finding.Fix{}, err
		}
		if u, uerr := url.Parse(e.Value); uerr == nil && u.Port() == strconv.Itoa(s.HTTP.ServerPort) {
			return finding.Fix{}, fix.Refuse("gatehouse setup, or a proxy, or a VPN; then change external_url", "%s:%d: this port is the way in from outside", e.File, e.Line)
		}
	}
	for _, f := range b.managers {
		if f.Name != "nftables" || f.V4.Denies {
			return finding.Fix{}, fix.Refuse(fmt.Sprintf("let %s admit the port from the home network only", f.Name), "%s (%s) looks after that port", f.Name, f.File)
		}
	}
	return firewallRepair(h)
}

// ipv6GlobalRepair closes what is open over IPv6, by the firewall that there is or by ours.
func ipv6GlobalRepair(h *facts.Host) (finding.Fix, error) {
	b, err := firewalls(h)
	if err != nil {
		return finding.Fix{}, err
	}
	if b.v4.Denies {
		return firewallV6Repair(h)
	}
	return firewallRepair(h)
}
