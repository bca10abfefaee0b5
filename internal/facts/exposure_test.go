package facts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Our score of a unit is the one that systemd-analyze gives it.
func TestExposureAgrees(t *testing.T) {
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Fatalf("%v: install systemd (scripts/needs unit), with which this is compared", err)
	}
	yes := func(key string) []string { return []string{key + "=yes", key + "=no", key + "=true"} }
	lines := []string{
		"User=ha", "User=root", "User=nobody", "User=0", "SupplementaryGroups=dialout", "SupplementaryGroups=", "ProtectHome=read-only", "ProtectHome=tmpfs", "ProtectSystem=full", "ProtectSystem=strict",
		"RootDirectory=/srv", "RootDirectory=/", "CapabilityBoundingSet=", "CapabilityBoundingSet=CAP_NET_RAW CAP_NET_ADMIN", "CapabilityBoundingSet=~CAP_SYS_ADMIN CAP_BPF", "CapabilityBoundingSet=~CAP_KILL",
		"UMask=0077", "UMask=0027", "UMask=0007", "UMask=0000", "UMask=0037", "KeyringMode=shared", "KeyringMode=private", "ProtectProc=invisible", "ProtectProc=noaccess", "ProcSubset=pid",
		"NotifyAccess=all", "NotifyAccess=main", "Delegate=yes", "Delegate=cpu", "RestrictNamespaces=user mnt", "RestrictNamespaces=~user", "RestrictNamespaces=~net uts", "RestrictNamespaces=pid",
		"RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6", "RestrictAddressFamilies=AF_NETLINK AF_BLUETOOTH", "RestrictAddressFamilies=~AF_PACKET", "RestrictAddressFamilies=~AF_INET6 AF_VSOCK", "RestrictAddressFamilies=none",
		"SystemCallArchitectures=native", "SystemCallArchitectures=x86", "SystemCallFilter=@system-service", "SystemCallFilter=~@privileged @resources", "SystemCallFilter=~@clock @swap", "SystemCallFilter=mount", "SystemCallFilter=~@obsolete:EPERM",
		"SystemCallFilter=", "SystemCallFilter=@debug @module", "IPAddressDeny=any", "IPAddressAllow=localhost", "IPAddressAllow=192.168.1.0/24", "IPAddressAllow=127.0.0.1", "DevicePolicy=closed", "DevicePolicy=strict", "DevicePolicy=auto",
		"DeviceAllow=/dev/ttyUSB0 rw", "AmbientCapabilities=CAP_NET_RAW", "AmbientCapabilities=",
	}
	for _, key := range []string{"DynamicUser", "RemoveIPC", "PrivateDevices", "PrivateMounts", "PrivateUsers", "PrivateNetwork", "PrivateTmp", "ProtectControlGroups", "ProtectKernelModules", "ProtectKernelTunables",
		"ProtectKernelLogs", "ProtectClock", "ProtectHome", "ProtectSystem", "ProtectHostname", "LockPersonality", "MemoryDenyWriteExecute", "NoNewPrivileges", "RestrictRealtime", "RestrictSUIDSGID", "RestrictNamespaces"} {
		lines = append(lines, yes(key)...)
	}
	number := regexp.MustCompile(`Overall exposure level for u(\d+)\.service: (\d+)\.(\d)`)
	rapid.Check(t, func(r *rapid.T) {
		const many = 4
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		args, units := []string{"security", "--offline=yes", "--no-pager"}, []string{}
		for n := range many {
			text := "[Unit]\n" + rapid.SampledFrom([]string{"", "", "", "DefaultDependencies=no\n"}).Draw(r, "unit") + "[Service]\nExecStart=/bin/true\n" +
				strings.Join(rapid.SliceOfN(rapid.SampledFrom(lines), 0, 40).Draw(r, "lines"), "\n") + "\n"
			file := filepath.Join(dir, fmt.Sprintf("u%d.service", n))
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			args, units = append(args, file), append(units, text)
		}
		out, err := exec.Command(program, args...).CombinedOutput()
		told := number.FindAllStringSubmatch(string(out), -1)
		if len(told) != many {
			t.Fatalf("%v, %d scores: %s", err, len(told), out)
		}
		for _, m := range told {
			var n int
			if _, err := fmt.Sscan(m[1], &n); err != nil {
				t.Fatal(err)
			}
			var u Unit
			if err := parseUnit(&u, Text{Path: m[1], Lines: strings.Split(units[n], "\n")}); err != nil {
				r.Fatal(err)
			}
			score, _ := u.Exposure()
			if ours, theirs := fmt.Sprintf("%d.%d", score/10, score%10), m[2]+"."+m[3]; ours != theirs {
				r.Errorf("ours %s, theirs %s of\n%s", ours, theirs, units[n])
			}
		}
	})
}

// No unit makes the count crash, or leave its range.
func FuzzExposure(f *testing.F) {
	f.Add("[Service]\nSystemCallFilter=~@privileged:EPERM @known\nRestrictNamespaces=~\nIPAddressAllow=::1/128 x\nUMask=9\nCapabilityBoundingSet=\nAmbientCapabilities=~")
	f.Fuzz(func(t *testing.T, text string) {
		var u Unit
		if parseUnit(&u, Text{Path: "x", Lines: strings.Split(text, "\n")}) != nil {
			return
		}
		if score, most := u.Exposure(); score < 0 || score > 100 || len(most) > 5 {
			t.Errorf("%d %v", score, most)
		}
	})
}
