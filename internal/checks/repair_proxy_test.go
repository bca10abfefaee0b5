package checks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
)

// What repairs make of a proxy's configuration, the proxy itself takes: each home that is
// fixed in testdata is laid into a folder and shown to nginx, HAProxy or Caddy.
func TestProxiesTakeTheirRepairs(t *testing.T) {
	if testing.Short() {
		t.Skip("starts nginx, HAProxy and Caddy")
	}
	certificate := proxyCertificate(t)
	taken := map[string]int{}
	for _, c := range slices.Concat(proxies(), endpoints()) {
		if c.Repair == nil {
			continue
		}
		for _, h := range homesOf(t, filepath.Join("testdata", c.ID+".fix.txt")) {
			plan := fix.Make(h.host, []fix.Rule{rule(c)})
			if plan.Empty() {
				continue
			}
			for _, a := range plan.Fixes[0].After {
				if a.Kind != finding.ActionValidate || a.Of != "nginx" && a.Of != "haproxy" && a.Of != "caddy" {
					continue
				}
				dir := t.TempDir()
				after := plan.Home(h.host)
				for _, folder := range []string{"/etc/nginx", "/etc/nginx/conf.d", "/etc/nginx/sites-enabled", "/etc/haproxy", "/etc/caddy"} {
					names, err := after.Dir(folder)
					if err != nil {
						t.Fatal(err)
					}
					if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
						t.Fatal(err)
					}
					for _, name := range names {
						text, err := after.Text(folder + "/" + name)
						if err != nil {
							continue // a folder
						}
						s := strings.NewReplacer("/etc/nginx", dir+"/etc/nginx", "/etc/haproxy/c.pem", certificate, "listen 443", "listen 24443", "listen 80", "listen 24080", "[::]:443", "[::]:24443",
							"/run/haproxy/", dir+"/", "    user haproxy\n", "", "\tuser haproxy\n", "", "\tgroup haproxy\n", "").Replace(string(text.Bytes))
						switch name {
						case "nginx.conf":
							s = "pid " + dir + "/pid;\nevents {}\n" + strings.Replace(s, "http {", "http {\nssl_certificate "+certificate+";\nssl_certificate_key "+certificate+";\n", 1)
						case "haproxy.cfg":
							s = strings.Replace(s, "defaults\n", "defaults\n    timeout connect 5s\n    timeout client 1m\n    timeout server 1m\n", 1)
						}
						if err := os.WriteFile(filepath.Join(dir, folder, name), []byte(s), 0o644); err != nil {
							t.Fatal(err)
						}
					}
				}
				argv := map[string][]string{
					"nginx":   {"nginx", "-t", "-q", "-e", "stderr", "-p", dir, "-c", dir + "/etc/nginx/nginx.conf"},
					"haproxy": {"haproxy", "-c", "-q", "-f", dir + "/etc/haproxy/haproxy.cfg"},
					"caddy":   {"caddy", "validate", "--adapter", "caddyfile", "--config", dir + "/etc/caddy/Caddyfile"},
				}[a.Of]
				program, err := exec.LookPath(argv[0])
				if err != nil {
					program = "/usr/sbin/" + argv[0]
				}
				if _, err := os.Stat(program); err != nil {
					t.Fatalf("%v: scripts/needs unit installs it; or run the tests with -short", err)
				}
				cmd := exec.Command(program, argv[1:]...)
				cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s: %s: %s says %v\n%s", c.ID, h.name, a.Of, err, out)
				}
				taken[a.Of]++
			}
		}
	}
	t.Logf("%v", taken)
	if taken["nginx"] < 12 || taken["haproxy"] < 5 || taken["caddy"] < 3 {
		t.Errorf("only %v were tried", taken)
	}
}

// proxyCertificate is a file with a key and a certificate.
func proxyCertificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"house.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "c.pem")
	text := slices.Concat(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
