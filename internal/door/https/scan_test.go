package https

import (
	"bytes"
	"context"
	"encoding/xml"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/wire"
)

// A real scanner that knows the address tries all it has, and learns that a port is open
// and nothing else: no service, no certificate, no name. It asks for no name that is
// served, so nothing of it gets through.
func TestScannerLearnsNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("a scan takes a minute")
	}
	program, err := exec.LookPath("nmap")
	if err != nil {
		t.Fatal("nmap is missing, which looks at the door: apt-get install nmap (scripts/needs unit does), or run the tests with -short")
	}
	var mu sync.Mutex
	refused := map[string]int{}
	d := open(t, Config{Refused: func(_ net.Addr, reason string) { mu.Lock(); refused[reason]++; mu.Unlock() }})
	through := make(chan net.Conn)
	go func() {
		for {
			c, err := d.Accept()
			if err != nil {
				close(through)
				return
			}
			through <- c
		}
	}()
	_, port, err := net.SplitHostPort(d.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "-n", "-Pn", "-sT", "-sV", "-sC", "--version-all", "-T4", "-p", port, "-oX", "-", "127.0.0.1").Output()
	if err != nil {
		t.Fatalf("nmap: %v\n%s", err, out)
	}
	var run struct {
		Ports []struct {
			ID    int `xml:"portid,attr"`
			State struct {
				State string `xml:"state,attr"`
			} `xml:"state"`
			Service struct {
				Name    string `xml:"name,attr"`
				Product string `xml:"product,attr"`
				Tunnel  string `xml:"tunnel,attr"`
				Print   string `xml:"servicefp,attr"`
			} `xml:"service"`
			Scripts []struct {
				ID     string `xml:"id,attr"`
				Output string `xml:"output,attr"`
			} `xml:"script"`
		} `xml:"host>ports>port"`
	}
	if err := xml.Unmarshal(out, &run); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if len(run.Ports) != 1 || strconv.Itoa(run.Ports[0].ID) != port || run.Ports[0].State.State != "open" {
		t.Fatalf("nmap has not looked at the door:\n%s", out)
	}
	p := run.Ports[0]
	if p.Service.Name != "tcpwrapped" && p.Service.Name != "unknown" && p.Service.Name != "" || p.Service.Product != "" || p.Service.Tunnel != "" || p.Service.Print != "" || len(p.Scripts) > 0 {
		t.Errorf("it learns: %+v", p)
	}
	for _, word := range []string{"house.test", "gatehouse", "certificate", "home-assistant", "HTTP/1", "ssl-"} {
		if bytes.Contains(bytes.ToLower(out), []byte(strings.ToLower(word))) {
			t.Errorf("its report says %q:\n%s", word, out)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	t.Logf("what it tried: %v", refused)
	for _, reason := range []wire.Reason{wire.ReasonHello, wire.ReasonPlain} {
		if refused[string(reason)] == 0 {
			t.Errorf("nothing was refused for %q: it has not tried", reason)
		}
	}
	select {
	case <-through:
		t.Error("something came through")
	default:
	}
}
