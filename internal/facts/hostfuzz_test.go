package facts

import (
	"strings"
	"testing"
)

// A pattern of sysctl.d fits what path.Match and braces say, ends whatever it is, and fits
// itself where it is none.
func FuzzGlob(f *testing.F) {
	f.Add("net/ipv4/conf/{all,eth*}/rp_filter", "net/ipv4/conf/all/rp_filter")
	f.Add("net/[!a-c]*/[[:alpha:]]?", "net/x/y1")
	f.Add("{{{a,b},c},{d,e}}[]a]\\*", "a]*")
	f.Add(strings.Repeat("{,}", 40)+"["+strings.Repeat("{", 20), "")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 4096 || len(name) > 4096 {
			return
		}
		all := globBraces(pattern)
		if len(all) > 512 {
			t.Errorf("%q is %d patterns", pattern, len(all))
		}
		for _, p := range all {
			globFits(p, name)
		}
		if !strings.ContainsAny(pattern, `*?[\`) && !globFits(pattern, pattern) {
			t.Errorf("%q does not fit itself", pattern)
		}
	})
}

// Whatever the host's own files say, reading them ends: those that every check may ask for.
func FuzzHostFiles(f *testing.F) {
	f.Add("ID=debian\nVERSION_ID=\"12\"\n")
	f.Add("root:x:0:0::/root:/bin/sh\n+\n")
	f.Add("root=/dev/sda1 quiet \"a b\" -- x\n")
	f.Add("openssh-server: /usr/sbin/sshd\n/usr/sbin/sshd\n")
	f.Add("2: eth0 inet 192.0.2.1\nnameserver 1\n")
	f.Add(strings.Repeat("\x00", 292))
	f.Add("[Time]\nNTP=a\nserver a iburst\n")
	f.Add("install usb-storage \\\n /bin/true\n")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<14 {
			return
		}
		files := map[string]string{}
		for _, name := range []string{"etc/os-release", "etc/passwd", "etc/group", "proc/cmdline", "etc/default/grub", "var/lib/dpkg/info/x.list", "var/lib/dpkg/status", "var/log/lastlog", "etc/hostname", "etc/modprobe.d/x.conf",
			"proc/mounts", "proc/self/mountinfo", "proc/net/tcp", "proc/net/if_inet6", "proc/net/packet", "proc/modules", "proc/1/maps", "etc/fstab", "etc/crypttab", "etc/ufw/user.rules", "etc/default/ufw", "etc/ufw/ufw.conf", "etc/nftables.conf", "etc/iptables/rules.v4",
			"etc/firewalld/firewalld.conf", "etc/firewalld/zones/public.xml", "etc/docker/daemon.json", "etc/crontab", "etc/apt/sources.list", "etc/apt/apt.conf", "etc/security/pwquality.conf", "etc/security/faillock.conf",
			"etc/systemd/journald.conf", "etc/ssh/ssh_config", "home/olga/.ssh/authorized_keys", "lib/systemd/system/x.service", "proc/1/stat", "proc/1/cmdline", "proc/1/status"} {
			files[name] = text
		}
		for _, live := range []bool{false, true} {
			h := &Host{Tree: drawnFiles(files), Live: live, Root: true}
			_, _ = h.Release()
			_, _ = h.Kind()
			_, _ = h.Users()
			_, _, _, _ = h.MembersOf("sudo")
			_, _, _ = h.CommandLine()
			_, _ = h.LastLogins()
			_, _, _ = h.Packaged([]string{"/usr/sbin/sshd"})
			_, _ = h.Packages()
			_, _ = h.AptConf()
			_, _ = h.AptSources()
			_, _ = h.PendingUpdates()
			_, _ = h.ModuleRules()
			_, _ = h.LoadedModules()
			_, _ = h.Mounts()
			_, _ = h.Fstab()
			_, _ = h.Sockets()
			_, _ = h.GlobalIPv6()
			_, _ = h.PacketSockets()
			_, _ = h.Firewalls()
			_, _ = h.DockerDaemon()
			_, _ = h.CronCommands()
			_, _ = h.UnitCommands()
			_, _ = h.StaleProcesses()
			_, _ = h.HAProcesses()
			_, _ = h.AuthorizedKeyFiles()
			_, _ = h.SSHClient("/etc/ssh/ssh_config")
			_, _ = h.SSHRelease()
			_, _ = h.SudoVersion()
			_, _ = h.Units()
			_, _ = h.Unit("x.service")
			_, _ = h.Sections("/etc/firewalld/firewalld.conf")
			_, _ = h.Settings("/systemd/journald.conf", "")
			_, _ = h.Wanted("x.service")
			for _, name := range []string{"pwquality", "faillock"} {
				_, _ = h.PAMSettings(name)
			}
			_, _, _ = h.ClockSynced()
		}
	})
}
