package wire

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"
)

// aiohttpVersion is what Home Assistant 2026.11.0 pins.
const aiohttpVersion = "3.14.5"

// understood is what a server made of one request.
type understood struct {
	Method  string      `json:"method"`
	Target  string      `json:"target"`
	Headers [][2]string `json:"headers"` // name and value, both in hex
	Body    string      `json:"body"`    // hex
}

// normal writes what was understood in one form: names in lower case, in order,
// without the headers that this package drops or keeps out of Header.
func (u understood) normal() string {
	var lines []string
	for _, h := range u.Headers {
		name, err1 := hex.DecodeString(h[0])
		value, err2 := hex.DecodeString(h[1])
		if err1 != nil || err2 != nil {
			return "unreadable"
		}
		key := strings.ToLower(string(name))
		switch {
		case strings.Contains(key, "_"), key == "transfer-encoding", key == "expect":
			continue // what they mean shows in the body
		case key == "host":
			value = bytes.ToLower(value)
		}
		lines = append(lines, fmt.Sprintf("%s: %s\n", key, bytes.Trim(value, " \t")))
	}
	sort.SliceStable(lines, func(i, j int) bool {
		a, _, _ := strings.Cut(lines[i], ":")
		b, _, _ := strings.Cut(lines[j], ":")
		return a < b
	})
	return u.Method + " " + u.Target + "\n" + strings.Join(lines, "") + "\n" + u.Body
}

// tell is the handler of the servers that are written in Go.
func tell(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	u := understood{Method: r.Method, Target: r.RequestURI, Body: hex.EncodeToString(body)}
	add := func(name, value string) {
		u.Headers = append(u.Headers, [2]string{hex.EncodeToString([]byte(name)), hex.EncodeToString([]byte(value))})
	}
	add("Host", r.Host)
	for name, values := range r.Header {
		for _, v := range values {
			add(name, v)
		}
	}
	w.Header().Set("Connection", "keep-alive")
	_ = json.NewEncoder(w).Encode(u)
}

// last is a request that is sent behind a case. Whoever stands where we stand
// reads it as it is.
const last = "GET /last HTTP/1.1\r\nHost: last\r\nConnection: close\r\n\r\n"

// ask sends bytes to a server and reads what it understood, until it has answered
// so many requests, refused, or closed.
func ask(addr string, send string, requests int, wait time.Duration) (all []understood, end string) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(wait))
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		_, _ = io.WriteString(c, send)
	}()
	defer func() { c.Close(); <-wrote }()
	br := bufio.NewReader(c)
	for len(all) < requests {
		method := http.MethodGet
		if strings.HasPrefix(send, "HEAD ") && len(all) == 0 {
			method = http.MethodHead
		}
		res, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return all, err.Error()
		}
		body, err := io.ReadAll(res.Body)
		switch {
		case err != nil:
			return all, err.Error()
		case res.StatusCode < 200:
			continue
		case res.StatusCode != 200:
			return all, res.Status
		}
		var u understood
		if method == http.MethodHead {
			u.Method = method // it cannot say more
		} else if err := json.Unmarshal(body, &u); err != nil {
			return all, err.Error()
		}
		all = append(all, u)
	}
	return all, ""
}

// others starts the servers that are to agree with us.
func others(t *testing.T) map[string]string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	std := &http.Server{Handler: http.HandlerFunc(tell), ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() { defer close(done); _ = std.Serve(l) }()
	t.Cleanup(func() { std.Close(); <-done })
	python := aiohttp(t)
	return map[string]string{
		"net/http":         l.Addr().String(),
		"aiohttp (C)":      start(t, exec.Command(python, "testdata/differential/server.py", "C")),
		"aiohttp (Python)": start(t, withEnv(exec.Command(python, "testdata/differential/server.py", "python"), "AIOHTTP_NO_EXTENSIONS=1")),
		"llhttp (Node)":    start(t, exec.Command(node(t), "testdata/differential/server.mjs")),
	}
}

func withEnv(c *exec.Cmd, env string) *exec.Cmd {
	c.Env = append(os.Environ(), env)
	return c
}

// start runs a server that prints its port and ends with its standard input.
func start(t *testing.T, c *exec.Cmd) (addr string) {
	t.Helper()
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		over := time.AfterFunc(5*time.Second, func() { _ = c.Process.Kill() })
		_ = c.Wait()
		over.Stop()
		if t.Failed() {
			t.Logf("%s: %v, and said:\n%s", c, c.ProcessState, stderr.String())
		}
	})
	port, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		stdin.Close()
		_ = c.Wait()
		t.Fatalf("%s did not start: %v\n%s", c, err, stderr.String())
	}
	return "127.0.0.1:" + strings.TrimSpace(port)
}

func node(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("Node.js is missing, against which the reader is tested: install it (Debian: apt-get install nodejs), or run the tests with -short")
	}
	return path
}

// aiohttp returns a Python that has aiohttp, which it installs when it is missing.
func aiohttp(t *testing.T) string {
	t.Helper()
	lab := os.Getenv("GATEHOUSE_LAB")
	if lab == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		lab = filepath.Join(cache, "gatehouse-lab")
	}
	dir := filepath.Join(lab, "aiohttp-"+aiohttpVersion)
	python := filepath.Join(dir, "bin", "python")
	if _, err := os.Stat(python); err == nil {
		return python
	}
	const how = "it needs Python 3.10 or newer with venv and pip (Debian: apt-get install python3-venv) and a package index; or run the tests with -short"
	if err := os.MkdirAll(lab, 0o755); err != nil {
		t.Fatal(err)
	}
	// Made beside its place and renamed, so that half an installation never passes for a whole one.
	fresh, err := os.MkdirTemp(lab, "aiohttp-new-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	t.Logf("installing aiohttp %s into %s", aiohttpVersion, dir)
	for _, c := range []*exec.Cmd{
		exec.Command("python3", "-m", "venv", fresh),
		exec.Command(filepath.Join(fresh, "bin", "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "aiohttp=="+aiohttpVersion),
	} {
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("aiohttp, Home Assistant's HTTP server, could not be installed: %v; %s\n%s", err, how, out)
		}
	}
	if err := os.Rename(fresh, dir); err != nil {
		if _, err2 := os.Stat(python); err2 != nil { // another run may have been first
			t.Fatal(err)
		}
	}
	return python
}

// Whatever this package's reader takes, net/http, aiohttp (which Home Assistant
// is served by) and llhttp take as the same: as many requests, and of each the
// same method, target, headers and body. What they differ about we refuse.
func TestDifferential(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Python and Node")
	}
	began := time.Now()
	ends := others(t)
	ours := serve(t, Limits{HeaderTimeout: 300 * time.Millisecond, BodyTimeout: 300 * time.Millisecond}, tell)
	shapes := corpus()
	shapes = append(shapes, mutations(shapes, 10000)...)

	var mu sync.Mutex
	taken, refused, compared := 0, 0, 0
	work := make(chan shape)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for s := range work {
				n, clean := judge(t, ours.addr, ends, s)
				mu.Lock()
				taken, compared = taken+n, compared+n*len(ends)
				if !clean {
					refused++
				}
				mu.Unlock()
			}
		})
	}
	for _, s := range shapes {
		work <- s
	}
	close(work)
	workers.Wait()
	t.Logf("%d shapes: %d requests taken, %d connections ended by us, %d readings compared, %v",
		len(shapes), taken, refused, compared, time.Since(began).Round(time.Millisecond))
	if taken < 1200 || refused < 3000 {
		t.Error("the mutations do not try much any more")
	}
}

// judge sends one shape to us, and what we took of it to the others.
func judge(t *testing.T, ours string, ends map[string]string, s shape) (requests int, clean bool) {
	text := s.send + last
	if s.ends {
		text = s.send // we would not read on
	}
	want, end := ask(ours, text, 1000, 10*time.Second)
	// Where we went on to the last request, the others must, and read all before it
	// as we did. Where we end the connection before, they may refuse all of it for
	// what comes behind; what they do take must still be the same.
	clean = s.ends || len(want) > 0 && want[len(want)-1].Target == "/last"
	if s.reason == "" && s.name != "mutation" && (!clean || len(want) < s.answered) {
		t.Errorf("%s: we did not take what is well-formed: %s", s.name, end)
	}
	wait := 10 * time.Second
	if !clean {
		wait = time.Second
	}
	for name, addr := range ends {
		got, end := ask(addr, text, len(want), wait)
		same := slices.EqualFunc(want[:min(len(want), len(got))], got, func(a, b understood) bool { return a.normal() == b.normal() })
		if !same || clean && len(got) < len(want) && !strings.Contains(s.name, "then request") {
			t.Errorf("%s: %q\n%s understood %d requests (%s):\n%s\nwe understood %d:\n%s",
				s.name, clip(text), name, len(got), end, clip(listed(got)), len(want), clip(listed(want)))
		}
	}
	return len(want), clean
}

func listed(all []understood) string {
	var b strings.Builder
	for _, u := range all {
		b.WriteString(u.normal() + "\n")
	}
	return b.String()
}

func clip(s string) string {
	if len(s) > 900 {
		return s[:600] + "…" + s[len(s)-200:]
	}
	return s
}

// mutations changes shapes at random, always in the same way.
func mutations(shapes []shape, n int) []shape {
	rng := rand.New(rand.NewPCG(9112, 3986))
	pieces := []string{"\r", "\n", "\r\n", " ", "\t", ":", ",", ";", "\x00", "\x0b", "\x7f", "\x80", "ä", "0", "1", "+", "-", "_", "a", "Z", "/", "?", "#", "%", "%41", "\\",
		"chunked", "Content-Length: 1\r\n", "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n", "Host: x\r\n", "Connection: close\r\n", "Connection: keep-alive\r\n",
		"Expect: 100-continue\r\n", "X-A: b\r\n", "0\r\n\r\n", "1\r\nx\r\n", "GET /x HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1", "HTTP/1.0", "\"", "(", "|", "~", "="}
	good := slices.DeleteFunc(slices.Clone(shapes), func(s shape) bool { return s.reason != "" })
	var out []shape
	for len(out) < n {
		from := shapes
		if rng.IntN(3) > 0 {
			from = good
		}
		text := from[rng.IntN(len(from))].send
		if len(text) > 2000 {
			continue
		}
		for range 1 + rng.IntN(3) {
			at := rng.IntN(len(text) + 1)
			switch rng.IntN(4) {
			case 0: // put in
				text = text[:at] + pieces[rng.IntN(len(pieces))] + text[at:]
			case 1: // take out
				text = text[:at] + text[min(len(text), at+1+rng.IntN(3)):]
			case 2: // put in place
				text = text[:at] + pieces[rng.IntN(len(pieces))] + text[min(len(text), at+1):]
			case 3: // another's end
				other := shapes[rng.IntN(len(shapes))].send
				if len(other) <= 2000 {
					text = text[:at] + other[rng.IntN(len(other)):]
				}
			}
		}
		out = append(out, shape{name: "mutation", send: text})
	}
	return out
}
