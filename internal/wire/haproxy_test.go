package wire

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What the real HAProxy says of its clients, in both versions and with all that it can say
// besides, is what they are; it finds us alive, and nothing is counted of its looking.
func TestRealHAProxy(t *testing.T) {
	program := "/usr/sbin/haproxy"
	if found, err := exec.LookPath("haproxy"); err == nil {
		program = found
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatal("HAProxy is missing, whose headers are read: apt-get install haproxy (scripts/needs unit does)")
	}
	config, client := testCertificate(t)
	inner := listenHere(t)
	var all tellAll
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	l := ListenTLS(ListenProxy(inner, ProxyOptions{Trusted: trusted, Refused: all.refused}), config,
		TLSOptions{Proxies: Proxies{Trusted: trusted, Protocol: true}, Refused: all.refused})
	greet(t, l)

	dir := t.TempDir()
	text := "global\n  stats socket " + filepath.Join(dir, "s") + "\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 20s\n  timeout server 20s\n  timeout check 5s\n"
	ways := map[string]string{
		"v1": "send-proxy", "v2": "send-proxy-v2", "sum": "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority",
	}
	fronts := map[string]string{}
	for name, how := range ways {
		for _, bind := range []string{"127.0.0.1:0", "[::1]:0"} {
			free, err := net.Listen("tcp", bind)
			if err != nil {
				t.Fatal(err)
			}
			fronts[name+bind[:1]] = free.Addr().String()
			_ = free.Close()
		}
		text += fmt.Sprintf("listen %s\n  bind %s\n  bind %s\n  unique-id-format %%ci_%%ts\n  tcp-request inspect-delay 5s\n  tcp-request content accept if { req.ssl_hello_type 1 }\n"+
			"  server one %s %s source 127.0.0.1 check check-send-proxy inter 50ms rise 1 fall 1\n", name, fronts[name+"1"], fronts[name+"["], inner.Addr(), how)
	}
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	cmd := exec.CommandContext(t.Context(), program, "-db", "-f", file)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	}()
	for name := range ways {
		for _, way := range []struct{ front, from string }{{fronts[name+"1"], "127.0.5.5"}, {fronts[name+"["], "::1"}} {
			got, err := "", error(nil)
			for began := time.Now(); got == "" && time.Since(began) < 20*time.Second; time.Sleep(20 * time.Millisecond) {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(way.from)}, Timeout: 10 * time.Second}
				var c net.Conn
				if c, err = d.Dial("tcp", way.front); err != nil {
					continue // it has only begun
				}
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				var b []byte
				b, err = io.ReadAll(tls.Client(c, client))
				got = string(b)
				_ = c.Close()
			}
			if got != way.from {
				t.Errorf("%s: %s comes in as %q, %v", name, way.from, got, err)
			}
		}
	}
	time.Sleep(300 * time.Millisecond) // some looks more
	all.mu.Lock()
	defer all.mu.Unlock()
	if len(all.told) > 0 {
		t.Errorf("refused: %q", all.told)
	}
	for _, down := range []string{"is DOWN", "Health check"} {
		if strings.Contains(said.String(), down) {
			t.Errorf("HAProxy takes us for dead: %s", said.String())
		}
	}
}
