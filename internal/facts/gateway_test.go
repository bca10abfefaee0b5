package facts

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

const routes4Head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"

// way is a line of /proc/net/route, with the gateway as this machine writes numbers.
func way(to string, gateway string, flags, metric int, mask string) string {
	a := netip.MustParseAddr(gateway).As4()
	return fmt.Sprintf("eth0\t%s\t%08X\t%04X\t0\t0\t%d\t%s\t0\t0\t0\n", to, binary.NativeEndian.Uint32(a[:]), flags, metric, mask)
}

// The router is where the preferred default route leads, and nobody else.
func TestGateways(t *testing.T) {
	const v6Link = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000077 00000400 00000001 00000000 00000003     wlan0\n"
	for _, c := range []struct{ name, v4, v6, want string }{
		{"one", way("00000000", "192.168.1.1", 3, 100, "00000000") + way("0001A8C0", "0.0.0.0", 1, 100, "00FFFFFF"), "", "192.168.1.1"},
		{"cable before radio", way("00000000", "192.168.2.1", 3, 600, "00000000") + way("00000000", "192.168.1.1", 3, 100, "00000000"), "", "192.168.1.1"},
		{"two alike", way("00000000", "192.168.2.1", 3, 0, "00000000") + way("00000000", "192.168.1.1", 3, 0, "00000000") + way("00000000", "192.168.2.1", 3, 0, "00000000"), "", "192.168.2.1 192.168.1.1"},
		{"another network's router", way("0000000A", "192.168.1.9", 3, 0, "000000FF"), "", ""},
		// A tunnel takes both halves (OpenVPN's redirect-gateway def1): the router stays the router.
		{"halves", way("00000000", "10.8.0.1", 3, 0, "00000080") + way("00000080", "10.8.0.1", 3, 0, "00000080") + way("00000000", "192.168.1.1", 3, 100, "00000000"), "", "192.168.1.1"},
		{"through no router", way("00000000", "0.0.0.0", 1, 0, "00000000"), "", ""},
		{"refused", way("00000000", "192.168.1.1", 0x203, 0, "00000000"), "", ""},
		{"down", way("00000000", "192.168.1.1", 2, 0, "00000000"), "", ""},
		{"both", way("00000000", "192.168.1.1", 3, 0, "00000000"), v6Link, "192.168.1.1 fe80::77%wlan0"},
		{"IPv6 refused", "", strings.Replace(v6Link, "00000003 ", "00200203 ", 1), ""},
		{"IPv6 of a network", "", strings.Replace(v6Link, "0 00 0", "0 40 0", 1), ""},
	} {
		drawing := "-- proc/net/route --\n" + routes4Head + c.v4
		if c.v6 != "" {
			drawing += "-- proc/net/ipv6_route --\n" + c.v6
		}
		tree, err := Draw(drawing)
		if err != nil {
			t.Fatal(err)
		}
		all, err := (&Host{Tree: tree, Live: true}).Gateways()
		if got := strings.Trim(fmt.Sprint(all), "[]"); err != nil || got != c.want {
			t.Errorf("%s: %q %v, want %q", c.name, got, err, c.want)
		}
		if _, err := (&Host{Tree: tree}).Gateways(); err == nil {
			t.Errorf("%s: a machine that does not run has a router", c.name)
		}
	}
	for name, drawing := range map[string]string{
		"nothing": "", "closed": "-- proc/net/route closed --\n", "junk": "-- proc/net/route --\n" + routes4Head + "eth0 zero\n",
		"no number": "-- proc/net/route --\n" + routes4Head + "eth0\t0\tx\t3\t0\t0\t0\t0\n", "short v6": "-- proc/net/route --\n" + routes4Head + "-- proc/net/ipv6_route --\n0 0\n",
	} {
		tree, err := Draw(drawing)
		if err != nil {
			t.Fatal(err)
		}
		if all, err := (&Host{Tree: tree, Live: true}).Gateways(); err == nil {
			t.Errorf("%s: %v, and no error", name, all)
		}
	}
}

func FuzzRoutes(f *testing.F) {
	f.Add(routes4Head + way("00000000", "192.168.1.1", 3, 100, "00000000"))
	f.Add("00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000077 00000400 00000001 00000000 00000003     wlan0\n")
	f.Fuzz(func(t *testing.T, text string) {
		lines := Text{Path: "/proc/net/route", Lines: strings.Split(text, "\n")}
		for _, read := range []func(Text) ([]route, error){routes4, routes6} {
			all, err := read(lines)
			if err != nil && len(all) > 0 {
				t.Errorf("%v beside %v", all, err)
			}
			for n, a := range preferred(all) {
				if !a.IsValid() || n >= len(all) {
					t.Errorf("%v of %v", a, all)
				}
			}
		}
	})
}
