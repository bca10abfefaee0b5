package router

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A box is a router that is made of what it says. Each answer is written after the
// specification that the case is about, or is wrong in one place.
type box struct {
	t        *testing.T
	asking   asking
	at       netip.Addr
	http     string // its own address, as http://127.0.0.1:port
	searches func(http string) []string
	pmp      func(question []byte) []byte
	serve    http.Handler
	asked    atomic.Int32 // requests over HTTP
}

// elsewhere is another machine, which must never be asked.
type elsewhere struct {
	url     string
	touched atomic.Int32
}

func newElsewhere(t *testing.T) *elsewhere {
	t.Helper()
	e := &elsewhere{}
	l := listenTCP(t, "127.0.0.2:0")
	e.url = "http://" + l.Addr().String()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			e.touched.Add(1)
			c.Close()
		}
	}()
	return e
}

func listenTCP(t *testing.T, at string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func listenUDP(t *testing.T, at string) *net.UDPConn {
	t.Helper()
	c, err := net.ListenPacket("udp4", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.UDPConn)
}

func portOf(a net.Addr) uint16 { return netip.MustParseAddrPort(a.String()).Port() }

// each calls f with what comes.
func each(c *net.UDPConn, f func(question []byte, from netip.AddrPort)) {
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			f(slices.Clone(buf[:n]), from)
		}
	}()
}

// start has a box speak on loopback. What its fields do not say, it does not answer.
func (b *box) start() {
	b.t.Helper()
	b.at = netip.MustParseAddr("127.0.0.1")
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.asked.Add(1)
		b.serve.ServeHTTP(w, r)
	}))
	web.Start()
	b.t.Cleanup(web.Close)
	b.http = web.URL
	ssdp, pmp := listenUDP(b.t, "127.0.0.1:0"), listenUDP(b.t, "127.0.0.1:0")
	each(ssdp, func(question []byte, from netip.AddrPort) {
		if b.searches == nil || !bytes.HasPrefix(question, []byte("M-SEARCH * HTTP/1.1\r\n")) {
			return
		}
		for _, text := range b.searches(b.http) {
			_, _ = ssdp.WriteToUDPAddrPort([]byte(text), from)
		}
	})
	each(pmp, func(question []byte, from netip.AddrPort) {
		if b.pmp != nil {
			if answer := b.pmp(question); answer != nil {
				_, _ = pmp.WriteToUDPAddrPort(answer, from)
			}
		}
	})
	b.asking = asking{ssdp: portOf(ssdp.LocalAddr()), pmp: portOf(pmp.LocalAddr()), group: netip.MustParseAddrPort("127.0.0.3:9"),
		doors: []uint16{portOf(web.Listener.Addr())}, patience: 600 * time.Millisecond, whole: 5 * time.Second}
}

func (b *box) ask() Answers { return b.asking.all(b.t.Context(), []netip.Addr{b.at}) }

// found is an answer to a search.
func found(location string) string {
	return "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nEXT:\r\nLOCATION: " + location + "\r\n\r\n"
}

func described(control, more string) string {
	return `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0">` + more + `<device><deviceList><device><deviceList><device><serviceList><service>` +
		`<serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>` + control + `</controlURL></service></serviceList></device></deviceList></device></deviceList></device></root>`
}

func soap(inside string) string {
	return `<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>` + inside + `</s:Body></s:Envelope>`
}

func fault(code int) string {
	return soap(fmt.Sprintf(`<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail><UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>%d</errorCode></UPnPError></detail></s:Fault>`, code))
}

func address(text string) string {
	return soap(`<u:GetExternalIPAddressResponse xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:1"><NewExternalIPAddress>` + text + `</NewExternalIPAddress></u:GetExternalIPAddressResponse>`)
}

func mapped(proto string, external int, client, internal, enabled, what string) string {
	return soap(fmt.Sprintf(`<u:GetGenericPortMappingEntryResponse xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:1"><NewRemoteHost></NewRemoteHost><NewExternalPort>%d</NewExternalPort><NewProtocol>%s</NewProtocol><NewInternalPort>%s</NewInternalPort><NewInternalClient>%s</NewInternalClient><NewEnabled>%s</NewEnabled><NewPortMappingDescription>%s</NewPortMappingDescription><NewLeaseDuration>0</NewLeaseDuration></u:GetGenericPortMappingEntryResponse>`,
		external, proto, internal, client, enabled, what))
}

// speaking answers as a router does: a description, an address, the mappings, then 713.
func speaking(description, external string, mappings ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, description)
			return
		}
		body, _ := io.ReadAll(r.Body)
		_, action, _ := strings.Cut(strings.Trim(r.Header.Get("SOAPAction"), `"`), "#")
		if err := xml.Unmarshal(body, new(struct{})); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		switch action {
		case "GetExternalIPAddress":
			fmt.Fprint(w, external)
		case "GetGenericPortMappingEntry":
			_, index, _ := bytes.Cut(body, []byte("<NewPortMappingIndex>"))
			index, _, _ = bytes.Cut(index, []byte("<"))
			if n, err := strconv.Atoi(string(index)); err == nil && n < len(mappings) {
				fmt.Fprint(w, mappings[n])
				return
			}
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, fault(errorNoSuchIndex))
		default:
			http.Error(w, "nothing may be changed", http.StatusForbidden)
		}
	})
}

// What a router says, whole and in order: its address, its mappings to the end, those that
// are off among them, and nothing that a terminal would obey.
func TestHonestRouter(t *testing.T) {
	b := &box{t: t, searches: func(at string) []string { return []string{found(at + "/d.xml"), found(at + "/d.xml")} },
		serve: speaking(described("/ctl", ""), address("100.64.7.9"),
			mapped("TCP", 443, "192.168.1.5", "8123", "1", "HA"), mapped("udp", 3074, "192.168.1.9", "3074", "0", "a&#x202e;c"),
			mapped("TCP", 443, "192.168.1.5", "8123", "1", "HA")),
		pmp: func(q []byte) []byte {
			if q[0] == versionPCP {
				return append([]byte{0, 0x80, 0, 1}, 0, 0, 0, 9) // RFC 6886, 3.5: an older router
			}
			return append([]byte{0, 0x80, 0, 0}, 0, 0, 0, 9, 100, 64, 7, 9)
		}}
	b.start()
	got := b.ask()
	want := []Mapping{{Proto: "TCP", External: 443, Client: "192.168.1.5", Internal: 8123, What: "HA"}, {Proto: "UDP", External: 3074, Client: "192.168.1.9", Internal: 3074, Off: true, What: "a?c"}}
	if !got.UPnP || !got.PCP || got.UPnPQuiet || got.UPnPDoubt+got.PCPDoubt+got.Nowhere != "" || got.External != "100.64.7.9" || !slices.Equal(got.Mappings, want) || !slices.Equal(got.Self, []string{"127.0.0.1"}) {
		t.Errorf("%+v", got)
	}
}

// A router that is there and offers nothing is told from one that shows no sign of itself.
func TestSilentRouter(t *testing.T) {
	b := &box{t: t}
	b.start()
	if got := b.ask(); got.UPnP || got.PCP || !got.UPnPQuiet || got.UPnPDoubt+got.PCPDoubt+got.Nowhere != "" {
		t.Errorf("there, and off: %+v", got)
	}
	b.asking.doors = nil
	if got := b.ask(); got.UPnP || got.PCP || !strings.Contains(got.UPnPDoubt, "nothing at all") || !strings.Contains(got.PCPDoubt, "nothing at all") || got.Nowhere == "" {
		t.Errorf("no sign: %+v", got)
	}
	// A refusal is a sign.
	closed := listenUDP(t, "127.0.0.1:0")
	b.asking.pmp = portOf(closed.LocalAddr())
	closed.Close()
	if got := b.ask(); got.PCP || got.PCPDoubt != "" || got.UPnPDoubt != "" || !got.UPnPQuiet {
		t.Errorf("refuses PCP: %+v", got)
	}
	b.asking.ssdp = b.asking.pmp
	if got := b.ask(); got.UPnP || got.UPnPDoubt != "" || got.UPnPQuiet {
		t.Errorf("refuses UPnP: %+v", got)
	}
	if got := b.asking.all(t.Context(), nil); got.UPnPDoubt == "" || got.PCPDoubt == "" || got.Nowhere == "" {
		t.Errorf("no router: %+v", got)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if got := b.asking.all(stopped, []netip.Addr{b.at}); got.UPnPDoubt == "" || got.PCPDoubt == "" {
		t.Errorf("not asked to the end: %+v", got)
	}
}

// Whatever a router says instead, it ends soon, nobody else is asked, and what is not known
// is not taken for nothing.
func TestHostileRouter(t *testing.T) {
	other := newElsewhere(t)
	t.Cleanup(func() { // after the cases
		if n := other.touched.Load(); n != 0 {
			t.Errorf("another machine was asked %d times", n)
		}
	})
	one := mapped("TCP", 443, "192.168.1.5", "8123", "1", "HA")
	good := func(at string) []string { return []string{found(at + "/d.xml")} }
	says := func(text string) func(string) []string {
		return func(string) []string { return []string{text} }
	}
	status := func(code int, header ...string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for n := 0; n < len(header); n += 2 {
				w.Header().Set(header[n], header[n+1])
			}
			w.WriteHeader(code)
		})
	}
	endless := func(text string, pause time.Duration) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, text); err != nil {
					return
				}
				if pause > 0 {
					w.(http.Flusher).Flush()
					time.Sleep(pause)
				}
			}
		})
	}
	many := make([]string, maxMappings+5)
	for n := range many {
		many[n] = mapped("TCP", 1000+n, "192.168.1.5", "8123", "1", "")
	}
	laughs := `<!DOCTYPE root [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><root>&b;</root>`
	for _, c := range []struct {
		name     string
		searches func(string) []string
		serve    http.Handler
		doubt    string
		mappings int
		requests int // at most; 0: none
	}{
		{"location elsewhere", says(found(other.url + "/d.xml")), nil, "elsewhere", 0, 0},
		{"location by name", says(found("http://localhost/d.xml")), nil, "elsewhere", 0, 0},
		{"location by https", says(found("https://127.0.0.1/d.xml")), nil, "elsewhere", 0, 0},
		{"location of a file", says(found("file:///etc/passwd")), nil, "elsewhere", 0, 0},
		{"location with a name in front", says(found("http://127.0.0.1@127.0.0.2/d.xml")), nil, "elsewhere", 0, 0},
		{"location is junk", says(found("http://[::1")), nil, "no address", 0, 0},
		{"two locations", says(strings.Replace(found("http://127.0.0.1:1/"), "EXT:", "Location: "+other.url, 1)), nil, "twice", 0, 0},
		{"no location", says(strings.Replace(found("x"), "LOCATION: x\r\n", "", 1)), nil, "does not say where", 0, 0},
		{"search is junk", says("\x00\xff\xfe\r\n\r\n"), nil, "none of SSDP's", 0, 0},
		{"search is cut short", says("HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n"), nil, "cut short", 0, 0},
		{"search is huge", says(found("http://127.0.0.1/" + strings.Repeat("a", maxDatagram))), nil, "too long", 0, 0},
		{"many locations", func(at string) (all []string) {
			for n := range 50 {
				all = append(all, found(fmt.Sprintf("%s/%d", at, n)))
			}
			return all
		}, status(404), "answers with 404", 0, maxLocations},
		{"moved", good, status(302, "Location", other.url+"/d.xml"), "answers with 302", 0, 1},
		{"huge header", good, status(200, "X", strings.Repeat("a", 2*maxHeader)), "its description", 0, 1},
		{"endless description", good, endless(strings.Repeat("<a>", 1000), 0), "too long", 0, 1},
		{"slow description", good, endless(" ", 50*time.Millisecond), "its description", 0, 1},
		{"junk for XML", good, speaking("\x00\x01<<<>>>", ""), "no XML", 0, 1},
		{"entities", good, speaking(laughs, ""), "declares", 0, 1},
		{"deep", good, speaking(strings.Repeat("<a>", 1000)+strings.Repeat("</a>", 1000), ""), "too large", 0, 1},
		{"wide", good, speaking("<root>"+strings.Repeat("<a/>", 2*maxElements)+"</root>", ""), "too large", 0, 1},
		{"another charset", good, speaking(strings.Replace(described("/ctl", ""), `?>`, ` encoding="utf-7"?>`, 1), ""), "no XML", 0, 1},
		{"two documents", good, speaking(described("/ctl", "")+described("/ctl", ""), ""), "not one document", 0, 1},
		{"a description of nothing", good, speaking("<root><device/></root>", ""), "names no connection", 0, 1},
		{"a page", good, speaking("<html><body>sign in</body></html>", ""), "not the XML", 0, 1},
		{"base elsewhere", good, speaking(described("/ctl", "<URLBase>"+other.url+"/</URLBase>"), ""), "elsewhere", 0, 1},
		{"control elsewhere", good, speaking(described(other.url+"/ctl", ""), ""), "elsewhere", 0, 1},
		{"control elsewhere, short", good, speaking(described("//127.0.0.2/ctl", ""), ""), "elsewhere", 0, 1},
		{"endless list", good, speaking(described("/ctl", ""), address(""), many...), "does not end", maxMappings, maxMappings + 2},
		{"the list breaks off", good, speaking(described("/ctl", ""), address(""), one, fault(606)), "error 606", 1, 4},
		{"the list is junk", good, speaking(described("/ctl", ""), address(""), one, "junk"), "its list", 1, 4},
		{"an answer to something else", good, speaking(described("/ctl", ""), address(""), one, address("1.2.3.4")), "something else", 1, 4},
		{"no answer", good, speaking(described("/ctl", ""), address(""), one, soap("")), "nothing that was asked", 1, 4},
		{"too large a port", good, speaking(described("/ctl", ""), address(""), mapped("TCP", 443, "192.168.1.5", "65536", "1", "")), "no port", 0, 3},
		{"no protocol", good, speaking(described("/ctl", ""), address(""), mapped("ICMP", 443, "192.168.1.5", "1", "1", "")), "neither TCP nor UDP", 0, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := &box{t: t, searches: c.searches, serve: c.serve}
			b.start()
			if strings.HasPrefix(c.name, "slow") {
				b.asking.whole = time.Second
			}
			began := time.Now()
			got := b.ask()
			if took := time.Since(began); took > b.asking.whole+time.Second {
				t.Errorf("took %s", took)
			}
			if !strings.Contains(got.UPnPDoubt, c.doubt) || len(got.Mappings) != c.mappings || len(got.UPnPDoubt) > 2000 || strings.ContainsAny(got.UPnPDoubt, "\n\x00\x1b") {
				t.Errorf("%d mappings, doubt %q, want %d and %q", len(got.Mappings), got.UPnPDoubt, c.mappings, c.doubt)
			}
			if n := int(b.asked.Load()); n > c.requests {
				t.Errorf("%d requests, want at most %d", n, c.requests)
			}
		})
	}
}

// An address that cannot be read is not one that is missing.
func TestExternalAddress(t *testing.T) {
	for _, c := range []struct{ says, external, nowhere string }{
		{address("198.51.100.7"), "198.51.100.7", ""}, {address(" 192.168.178.2 "), "192.168.178.2", ""}, {address("0.0.0.0"), "", ""}, {address(""), "", ""}, {fault(501), "", ""},
		{address("home.example"), "", "is none"}, {address("fe80::1%1"), "", "is none"}, {"junk", "", "its address"},
	} {
		b := &box{t: t, searches: func(at string) []string { return []string{found(at + "/d.xml")} }, serve: speaking(described("/ctl", ""), c.says)}
		b.start()
		if got := b.ask(); got.External != c.external || !strings.Contains(got.Nowhere, c.nowhere) || c.nowhere == "" && got.Nowhere != "" {
			t.Errorf("%s: %q, %q", c.says, got.External, got.Nowhere)
		}
	}
}

// What comes from another address is not the router's word, whatever it says.
func TestOthersDoNotCount(t *testing.T) {
	b := &box{t: t}
	b.start()
	ssdp, pmp := listenUDP(t, "127.0.0.1:0"), listenUDP(t, "127.0.0.1:0")
	liar := listenUDP(t, "127.0.0.2:0")
	group := listenUDP(t, "127.0.0.2:0") // it hears what is told to all
	other := newElsewhere(t)
	var lies atomic.Int32
	lie := func(text string) func([]byte, netip.AddrPort) {
		return func(_ []byte, to netip.AddrPort) {
			lies.Add(1)
			_, _ = liar.WriteToUDPAddrPort([]byte(text), to)
		}
	}
	each(ssdp, lie(found(b.http+"/d.xml")))
	each(group, lie(found(other.url+"/d.xml")))
	each(pmp, lie(string(append([]byte{0, 0x80, 0, 0}, 0, 0, 0, 9, 198, 51, 100, 7))))
	b.asking.ssdp, b.asking.pmp, b.asking.group = portOf(ssdp.LocalAddr()), portOf(pmp.LocalAddr()), netip.MustParseAddrPort(group.LocalAddr().String())
	got := b.ask()
	if got.UPnP || got.PCP || got.External != "" || got.UPnPDoubt+got.PCPDoubt != "" {
		t.Errorf("%+v", got)
	}
	if lies.Load() < 6 || b.asked.Load() != 0 || other.touched.Load() != 0 {
		t.Errorf("%d lies, %d and %d requests", lies.Load(), b.asked.Load(), other.touched.Load())
	}
}

// So many strangers answer that the router's own answer may be lost: that is not silence.
func TestFloodIsNotSilence(t *testing.T) {
	b := &box{t: t}
	b.start()
	ssdp, liar := listenUDP(t, "127.0.0.1:0"), listenUDP(t, "127.0.0.2:0")
	each(ssdp, func(_ []byte, to netip.AddrPort) {
		for range maxDatagrams {
			_, _ = liar.WriteToUDPAddrPort([]byte("x"), to)
		}
	})
	b.asking.ssdp = portOf(ssdp.LocalAddr())
	if got := b.ask(); got.UPnP || !strings.Contains(got.UPnPDoubt, "may be lost") {
		t.Errorf("%+v", got)
	}
}

// What an answer to NAT-PMP and PCP means (RFC 6886, 3.5; RFC 6887, 7.4).
func TestPMPAnswers(t *testing.T) {
	pcp := func(result byte) []byte { return append([]byte{2, 0x80, 0, result}, make([]byte, 20)...) }
	for _, c := range []struct {
		name        string
		says        []byte
		speaks      bool
		doubt, addr string
	}{
		{"NAT-PMP", append([]byte{0, 0x80, 0, 0}, 0, 0, 0, 9, 198, 51, 100, 7), true, "", "198.51.100.7"},
		{"NAT-PMP without a connection", append([]byte{0, 0x80, 0, 3}, 0, 0, 0, 9, 0, 0, 0, 0), true, "", ""},
		{"NAT-PMP without an address", append([]byte{0, 0x80, 0, 0}, 0, 0, 0, 9, 0, 0, 0, 0), true, "", ""},
		{"NAT-PMP that is off", append([]byte{0, 0x80, 0, 2}, 0, 0, 0, 9), false, "", ""},
		{"PCP", pcp(0), true, "", ""}, {"PCP of another version", pcp(1), true, "", ""}, {"PCP that is off", pcp(2), false, "", ""},
		{"short", []byte{0, 0x80}, false, "cut short", ""}, {"question", append(make([]byte, 12), 1), false, "neither", ""},
		{"another answer", append([]byte{0, 0x81, 0, 0}, make([]byte, 12)...), false, "none of NAT-PMP's", ""},
		{"huge", append(pcp(0), make([]byte, maxPCP)...), false, "none of PCP's", ""},
		{"junk", []byte("HTTP/1.1 200 OK\r\n\r\n"), false, "neither", ""},
	} {
		b := &box{t: t, pmp: func([]byte) []byte { return c.says }}
		b.start()
		b.asking.patience = 200 * time.Millisecond
		if got := b.ask(); got.PCP != c.speaks || got.External != c.addr || !strings.Contains(got.PCPDoubt, c.doubt) || c.doubt == "" && got.PCPDoubt != "" {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func FuzzSearch(f *testing.F) {
	f.Add([]byte(found("http://192.0.2.1/d.xml")))
	f.Add([]byte(found("http://192.0.2.1@192.0.2.2/d.xml")))
	f.Add([]byte("HTTP/1.1 200\r\n\r\n"))
	gateway := netip.MustParseAddr("192.0.2.1")
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := parseSearch(text)
		if err != nil {
			return
		}
		if a.location == "" || !slices.Contains(searched(), a.kind) {
			t.Errorf("%+v", a)
		}
		if u, err := own(gateway, a.location); err == nil && u.Hostname() != "192.0.2.1" {
			t.Errorf("%s", u)
		}
	})
}

func FuzzDescription(f *testing.F) {
	for _, s := range []string{described("/ctl", ""), described("//192.0.2.2/ctl", ""), described("ctl", "<URLBase>http://192.0.2.1:80/x/</URLBase>"), "<root/>", "<!DOCTYPE a><root/>"} {
		f.Add([]byte(s))
	}
	gateway, at := netip.MustParseAddr("192.0.2.1"), &url.URL{Scheme: "http", Host: "192.0.2.1:5000", Path: "/d.xml"}
	f.Fuzz(func(t *testing.T, text []byte) {
		all, _ := parseDescription(gateway, at, text)
		for _, s := range all {
			// What is asked is what a client of HTTP takes this address for, too.
			again, err := url.Parse(s.control.String())
			if err != nil || again.Scheme != "http" || again.Hostname() != "192.0.2.1" || again.User != nil || !slices.Contains(connections(), s.kind) {
				t.Errorf("%s %q", s.kind, s.control)
			}
		}
		if len(all) > maxServices+1 {
			t.Errorf("%d services", len(all))
		}
	})
}

func FuzzEnvelope(f *testing.F) {
	for _, s := range []string{address("192.0.2.1"), fault(713), mapped("TCP", 1, "192.0.2.9", "2", "1", "x"), mapped("UDP", 70000, "", "-1", "", "\u202e"), soap("")} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := parseEnvelope(text)
		if err != nil {
			return
		}
		if a, err := e.external(); err == nil && a.IsValid() && (a.Zone() != "" || a.IsUnspecified()) {
			t.Errorf("%s", a)
		}
		m, err := e.mapping()
		if err != nil {
			return
		}
		if said := m.String(); m.Proto != "TCP" && m.Proto != "UDP" || m.Internal < 0 || m.Internal > 65535 || m.External < 0 || m.External > 65535 || len(said) > 1000 || plain(said, 1000) != strings.TrimSpace(said) {
			t.Errorf("%+v", m)
		}
	})
}

func FuzzPMP(f *testing.F) {
	f.Add(append([]byte{0, 0x80, 0, 0}, 0, 0, 0, 9, 198, 51, 100, 7))
	f.Add(announceRequest(netip.MustParseAddr("192.0.2.1")))
	f.Add(externalRequest())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parsePMP(b)
		if err == nil && (b[1]&isReply == 0 || r.off && r.external.IsValid() || r.external.IsValid() && len(b) != 12) {
			t.Errorf("%x: %+v", b, r)
		}
	})
}
