package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/netstack"

	"gatehouse/internal/door/wireguard"
)

// The door wireguard beside WireGuard's own userspace network (wireguard-go's netstack),
// which is the same protocol in the same language with nothing behind it but a copy to the
// home. The client is that network in either case. In Gatehouse TLS and the gateway are
// between.

// plainTunnel is the reference of this table.
const plainTunnel = "wireguard-go"

// tunnelRest is what came of it.
type tunnelRest struct {
	conditions string
	rows       []row // requests are files
	peak       map[string]int64
}

// measureWireGuard runs all of it and stops what it started.
func measureWireGuard(ctx context.Context, p plan, binary, dir string) (*tunnelRest, error) {
	dir = filepath.Join(dir, "wireguard")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	home := fmt.Sprintf("127.0.0.1:%d", freePort())
	up, err := start(filepath.Join(dir, "upstream.log"), nil, self, "-upstream", home)
	if err != nil {
		return nil, err
	}
	defer up.stop()
	if err := answers(ctx, "http://"+home+"/manifest.json"); err != nil {
		return nil, fmt.Errorf("the small home: %w", err)
	}
	plain, reference, err := startPlainTunnel(self, dir, home)
	if err != nil {
		return nil, err
	}
	defer reference.stop()
	// On all addresses, as people have it: WireGuard's socket for one address sends one
	// packet at a time.
	port := freePort()
	gate, err := openGate(ctx, binary, filepath.Join(dir, "gatehouse"), home, fmt.Sprintf("\n[doors.wireguard]\nlisten = \":%d\"\nendpoint = \"127.0.0.1:%d\"\n", port, port), 1)
	if err != nil {
		return nil, err
	}
	defer gate.process.stop()
	file := filepath.Join(dir, "bench.conf")
	if _, err := gate.cli.run(ctx, "invite", "Bench", "--wireguard", "-o", file); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	ours, err := wireguard.ParseFile(text)
	if err != nil {
		return nil, err
	}
	r := &tunnelRest{conditions: machine() + ", which client, servers and home share", peak: map[string]int64{}}
	err = r.measure(ctx, p, []*target{{name: plainTunnel, base: "http://localhost", process: reference}, {name: "Gatehouse", base: "https://localhost", process: gate.process}},
		map[string]*wireguard.File{plainTunnel: plain, "Gatehouse": ours})
	return r, err
}

// measure has the file carried through both, in turns.
func (r *tunnelRest) measure(ctx context.Context, p plan, targets []*target, files map[string]*wireguard.File) (err error) {
	clients := map[string]*http.Client{}
	for name, f := range files {
		c, end, err := joinTunnel(f)
		if err != nil {
			return err
		}
		defer end()
		clients[name] = c
	}
	r.rows, err = rounds(ctx, p, targets, "WireGuard", func(t *target) (sample, error) {
		s, err := carryBy(ctx, clients[t.name], t.base+filePath, p.files)
		if memory, wrong := t.process.memory(); wrong == nil {
			r.peak[t.name] = max(r.peak[t.name], memory)
		}
		return s, err
	})
	return err
}

// startPlainTunnel starts the reference, and returns what its client has to know.
func startPlainTunnel(self, dir, home string) (*wireguard.File, *process, error) {
	server, client := wireguard.NewPrivateKey(), wireguard.NewPrivateKey()
	serverPublic, err := server.Public()
	if err != nil {
		return nil, nil, err
	}
	clientPublic, err := client.Public()
	if err != nil {
		return nil, nil, err
	}
	port := freePort()
	theirs := &wireguard.File{PrivateKey: server, Port: uint16(port), Addresses: []netip.Prefix{netip.MustParsePrefix("10.99.0.1/32")}, MTU: wireguard.MTU,
		Peers: []wireguard.FilePeer{{Key: clientPublic, AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.99.0.2/32")}}}}
	file := filepath.Join(dir, "server.conf")
	if err := os.WriteFile(file, []byte(theirs.String()), 0o600); err != nil {
		return nil, nil, err
	}
	p, err := start(filepath.Join(dir, "tunnel.log"), nil, self, "-tunnel", file, "-upstream", home)
	ours := &wireguard.File{PrivateKey: client, Addresses: []netip.Prefix{netip.MustParsePrefix("10.99.0.2/32")}, MTU: wireguard.LeastMTU,
		Peers: []wireguard.FilePeer{{Key: serverPublic, AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.99.0.1/32")}, Endpoint: fmt.Sprintf("127.0.0.1:%d", port)}}}
	return ours, p, err
}

// openTunnel makes a network of a file.
func openTunnel(f *wireguard.File) (*netstack.Net, *device.Device, error) {
	var own []netip.Addr
	for _, p := range f.Addresses {
		own = append(own, p.Addr())
	}
	link, network, err := netstack.CreateNetTUN(own, nil, f.MTU)
	if err != nil {
		return nil, nil, err
	}
	d := device.NewDevice(link, conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	var b strings.Builder
	fmt.Fprintf(&b, "private_key=%x\nlisten_port=%d\n", f.PrivateKey[:], f.Port)
	for _, p := range f.Peers {
		fmt.Fprintf(&b, "public_key=%x\npreshared_key=%x\n", p.Key[:], p.Preshared[:])
		if p.Endpoint != "" {
			fmt.Fprintf(&b, "endpoint=%s\n", p.Endpoint)
		}
		for _, a := range p.AllowedIPs {
			fmt.Fprintf(&b, "allowed_ip=%s\n", a)
		}
	}
	if err = d.IpcSet(b.String()); err == nil {
		err = d.Up()
	}
	if err != nil {
		d.Close()
	}
	return network, d, err
}

// joinTunnel is a client whose every connection goes to the tunnel's far end.
func joinTunnel(f *wireguard.File) (c *http.Client, end func(), err error) {
	network, d, err := openTunnel(f)
	if err != nil {
		return nil, nil, err
	}
	far := f.Peers[0].AllowedIPs[0].Addr()
	c = &http.Client{Transport: &http.Transport{DisableCompression: true, ReadBufferSize: 256 << 10,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // what is measured is what it carries
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			to, err := netip.ParseAddrPort(net.JoinHostPort(far.String(), port))
			if err != nil {
				return nil, err
			}
			return network.DialContextTCPAddrPort(ctx, to)
		}}}
	return c, func() { c.CloseIdleConnections(); d.Close() }, nil
}

// runTunnel is the reference: port 80 of its end leads to the home.
func runTunnel(ctx context.Context, file, home string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	f, err := wireguard.ParseFile(text)
	if err != nil {
		return err
	}
	network, d, err := openTunnel(f)
	if err != nil {
		return err
	}
	defer d.Close()
	l, err := network.ListenTCPAddrPort(netip.AddrPortFrom(f.Addresses[0].Addr(), 80))
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		inside, err := l.Accept()
		if err != nil {
			return ctx.Err()
		}
		go func() {
			behind, err := net.Dial("tcp", home)
			if err != nil {
				_ = inside.Close()
				return
			}
			go func() { _, err := io.Copy(behind, inside); _ = errors.Join(err, behind.Close()) }()
			_, err = io.Copy(inside, behind)
			_ = errors.Join(err, inside.Close())
		}()
	}
}

// table is the result as Markdown.
func (r *tunnelRest) table(p plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.\n\n", r.conditions)
	fmt.Fprintf(&b, "The door wireguard beside wireguard-go's own userspace network (netstack), which is the client of both: %d files of %d MiB a round over one connection, %d times in turns, medians; CPU is the server's own. ×: compared with wireguard-go, behind which is the home itself; in Gatehouse TLS and the gateway are between.\n\n",
		p.files, fileSize>>20, p.rounds)
	b.WriteString("| server | Mbit/s | × | CPU s a GB | × | memory at most, MB |\n| --- | ---: | ---: | ---: | ---: | ---: |\n")
	base := find(r.rows, plainTunnel)
	for _, x := range r.rows {
		fmt.Fprintf(&b, "| %s | %.0f | %.2f | %.2f | %.2f | %.0f |\n", x.name, x.perSecond*fileSize*8/1e6, x.perSecond/base.perSecond,
			x.cpu.Seconds()*1e9/fileSize, float64(x.cpu)/float64(base.cpu), float64(r.peak[x.name])/1e6)
	}
	return b.String()
}
