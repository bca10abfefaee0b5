package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// The door ssh beside OpenSSH's own server: the same client carries the same file through
// either. Behind OpenSSH is the small home itself; in Gatehouse the gateway is between.

// tunnels is what came of it, for each way of encrypting.
type tunnels struct {
	conditions string
	ciphers    []string
	rows       [][]row // for each of the ciphers; requests are files
}

// sshCiphers are what OpenSSH's clients prefer, and what is cheapest here.
var sshCiphers = []string{"chacha20-poly1305@openssh.com", "aes128-gcm@openssh.com"}

// openSSH is the reference of this table.
const openSSH = "OpenSSH"

// measureTunnels runs all of it and stops what it started.
func measureTunnels(ctx context.Context, p plan, binary, dir string) (*tunnels, error) {
	for _, need := range []struct{ program, pkg string }{{"ssh", "openssh-client"}, {"ssh-keygen", "openssh-client"}, {sshd, "openssh-server"}} {
		if _, err := exec.LookPath(need.program); err != nil {
			return nil, fmt.Errorf("%s is missing: apt-get install %s", need.program, need.pkg)
		}
	}
	dir = filepath.Join(dir, "ssh")
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
	for _, name := range []string{"client", "host"} {
		if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name)).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	doorPort, sshdPort := freePort(), freePort()
	gate, err := openGate(ctx, binary, filepath.Join(dir, "gatehouse"), home, fmt.Sprintf("\n[doors.ssh]\nlisten = \"127.0.0.1:%d\"\n", doorPort), 1)
	if err != nil {
		return nil, err
	}
	defer gate.process.stop()
	if _, err := gate.cli.run(ctx, "invite", "Bench", "--ssh", filepath.Join(dir, "client.pub")); err != nil {
		return nil, err
	}
	reference, tidy, err := startSSHD(dir, sshdPort)
	if err != nil {
		return nil, err
	}
	defer tidy()
	t := &tunnels{conditions: fmt.Sprintf("%s, which client, servers and home share; %s", machine(), programVersion("ssh", "-V")), ciphers: sshCiphers}
	for _, cipher := range t.ciphers {
		direct := &tunnel{dir: dir, cipher: cipher, port: sshdPort, user: os.Getenv("USER"), target: home, server: reference}
		ours := &tunnel{dir: dir, cipher: cipher, port: doorPort, user: "bench", target: "localhost:8123", server: gate.process}
		rows, err := t.measure(ctx, p, direct, ours)
		if err != nil {
			return nil, err
		}
		t.rows = append(t.rows, rows)
	}
	return t, nil
}

// measure has the file carried through both, in turns.
func (t *tunnels) measure(ctx context.Context, p plan, direct, ours *tunnel) ([]row, error) {
	for _, w := range []*tunnel{direct, ours} {
		if err := w.open(ctx); err != nil {
			return nil, err
		}
		defer w.client.stop()
	}
	targets := []*target{{name: openSSH, base: direct.base, process: direct.server}, {name: "Gatehouse", base: ours.base, process: ours.server}}
	return rounds(ctx, p, targets, "SSH with "+direct.cipher, func(t *target) (sample, error) { return carry(ctx, t.base+filePath, p.files) })
}

// sshd is where Debian has OpenSSH's server.
const sshd = "/usr/sbin/sshd"

// startSSHD starts OpenSSH's server for this user and the client's key.
func startSSHD(dir string, port int) (p *process, tidy func(), err error) {
	made := ""
	if os.Geteuid() == 0 {
		if err := os.Mkdir("/run/sshd", 0o755); err == nil { // sshd asks for it
			made = "/run/sshd"
		} else if !errors.Is(err, os.ErrExist) {
			return nil, nil, err
		}
	}
	text := fmt.Sprintf("ListenAddress 127.0.0.1:%d\nHostKey %s\nAuthorizedKeysFile %s\nPidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n",
		port, filepath.Join(dir, "host"), filepath.Join(dir, "client.pub"))
	config := filepath.Join(dir, "sshd_config")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, nil, err
	}
	if p, err = start(filepath.Join(dir, "sshd.log"), nil, sshd, "-D", "-e", "-f", config); err != nil {
		return nil, nil, err
	}
	return p, func() {
		p.stop()
		if made != "" {
			_ = os.Remove(made)
		}
	}, nil
}

// tunnel is ssh -N -L to a server.
type tunnel struct {
	dir, cipher, user, target string
	port                      int
	server                    *process
	client                    *process
	base                      string // http://localhost:port of its near end
}

// open starts the client and waits until something answers through it.
func (w *tunnel) open(ctx context.Context) (err error) {
	near := freePort()
	args := []string{"-F", "none", "-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes",
		"-c", w.cipher, "-i", filepath.Join(w.dir, "client"), "-p", fmt.Sprint(w.port), "-N", "-L", fmt.Sprintf("127.0.0.1:%d:%s", near, w.target)}
	if w.user != "" {
		args = append(args, "-l", w.user)
	}
	log := filepath.Join(w.dir, fmt.Sprintf("ssh-%d.log", near))
	for range 100 { // the server may still be starting
		if w.client, err = start(log, nil, "ssh", append(args, "127.0.0.1")...); err != nil {
			return err
		}
		if w.listens(ctx, near) {
			w.base = fmt.Sprintf("http://localhost:%d", near)
			return answers(ctx, w.base+benchPath)
		}
		w.client.stop()
	}
	return fmt.Errorf("ssh opens no tunnel: its log is %s", log)
}

// listens waits for the near end, as long as the client runs.
func (w *tunnel) listens(ctx context.Context, port int) bool {
	for ctx.Err() == nil {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return c.Close() == nil
		}
		select {
		case <-w.client.done:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return false
}

// carry fetches a file again and again over one connection.
func carry(ctx context.Context, url string, files int) (sample, error) {
	client := &http.Client{Transport: &http.Transport{DisableCompression: true, ReadBufferSize: 256 << 10}}
	defer client.CloseIdleConnections()
	return carryBy(ctx, client, url, files)
}

// carryBy is carry by a client that has its own way there.
func carryBy(ctx context.Context, client *http.Client, url string, files int) (sample, error) {
	begun := time.Now()
	for range files {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return sample{}, err
		}
		res, err := client.Do(req)
		if err != nil {
			return sample{}, err
		}
		n, err := io.Copy(io.Discard, res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil {
			return sample{}, err
		}
		if n != fileSize || res.StatusCode != http.StatusOK {
			return sample{}, fmt.Errorf("%s: %s, %d bytes", url, res.Status, n)
		}
	}
	return sample{requests: files, perSecond: float64(files) / time.Since(begun).Seconds()}, nil
}

// table is the result as Markdown.
func (t *tunnels) table(p plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.\n\n", t.conditions)
	fmt.Fprintf(&b, "The door ssh beside OpenSSH's server, with OpenSSH's client (`ssh -N -L`) at the other end: %d files of %d MiB a round over one connection, %d times in turns, medians; CPU is the server's own. ×: compared with OpenSSH, behind which is the home itself; in Gatehouse the gateway is between.\n\n",
		p.files, fileSize>>20, p.rounds)
	b.WriteString("| cipher | server | MB/s | × | CPU s a GB | × |\n| --- | --- | ---: | ---: | ---: | ---: |\n")
	for i, rows := range t.rows {
		base := find(rows, openSSH)
		for _, r := range rows {
			fmt.Fprintf(&b, "| %s | %s | %.0f | %.2f | %.2f | %.2f |\n", strings.TrimSuffix(t.ciphers[i], "@openssh.com"), r.name, r.perSecond*fileSize/1e6, r.perSecond/base.perSecond,
				r.cpu.Seconds()*1e9/fileSize, float64(r.cpu)/float64(base.cpu))
		}
	}
	return b.String()
}
