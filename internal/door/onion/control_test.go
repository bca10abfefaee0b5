package onion

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// write writes a message as tor does.
func (m message) write(b *strings.Builder) {
	for i, l := range m.lines {
		mark := "-"
		switch {
		case l.data != nil:
			mark = "+"
		case i == len(m.lines)-1:
			mark = " "
		}
		fmt.Fprintf(b, "%d%s%s\r\n", m.code, mark, l.text)
		if l.data == nil {
			continue
		}
		for _, d := range l.data {
			if strings.HasPrefix(d, ".") {
				d = "." + d
			}
			b.WriteString(d + "\r\n")
		}
		b.WriteString(".\r\n")
	}
}

func read(text string) (message, error) { return readMessage(bufio.NewReader(strings.NewReader(text))) }

func TestMessagesAreReadStrictly(t *testing.T) {
	m, err := read("250-version=0.4.9.11\r\n250+more=\r\n..dot\r\nplain\r\n.\r\n250 OK\r\n")
	want := message{250, []line{{text: "version=0.4.9.11"}, {text: "more=", data: []string{".dot", "plain"}}, {text: "OK"}}}
	if diff := cmp.Diff(want, m, cmp.AllowUnexported(message{}, line{})); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, bad := range []string{
		"", "250 OK", "250 OK\n", "250 OK\r", "25 OK\r\n", "2500 OK\r\n", "950 OK\r\n", "150 OK\r\n", "250_OK\r\n", "250\r\n",
		"250-a\r\n251 b\r\n", "250-a\r\n", "250 a\rb\r\n", "250 a\x00\r\n", "250+a\r\nb\r\n", "250+a\r\n.b\r\n.\r\n250 OK\r\n",
		"250 " + strings.Repeat("x", maxLine+1) + "\r\n", strings.Repeat("250-x\r\n", maxLines) + "250 OK\r\n",
		"250+a\r\n" + strings.Repeat("x\r\n", maxLines+1) + ".\r\n250 OK\r\n",
	} {
		if m, err := read(bad); err == nil {
			t.Errorf("%.60q is read as %d lines", bad, len(m.lines))
		}
	}
}

// What is read is written back as the same bytes: nothing is taken for something else.
func FuzzMessage(f *testing.F) {
	for _, s := range []string{"250 OK\r\n", "250-a=b\r\n250 OK\r\n", "250+a=\r\n..x\r\n.\r\n250 OK\r\n", "650 HS_DESC UPLOADED x UNKNOWN y\r\n", "512 no\r\n", "250 a\rb\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := bufio.NewReader(strings.NewReader(s))
		var b strings.Builder
		for {
			m, err := readMessage(r)
			if err != nil {
				break
			}
			if len(m.lines) == 0 || len(m.lines) > maxLines {
				t.Fatalf("a message of %d lines", len(m.lines))
			}
			m.write(&b)
		}
		if !strings.HasPrefix(s, b.String()) {
			t.Errorf("%q comes back as %q", s, b.String())
		}
	})
}

func TestArguments(t *testing.T) {
	for text, want := range map[string]map[string]string{
		`AUTH METHODS=COOKIE,SAFECOOKIE COOKIEFILE="/run/tor/c o\"k\\\303\251"`:    {"METHODS": "COOKIE,SAFECOOKIE", "COOKIEFILE": "/run/tor/c o\"k\\é"},
		`NOTICE BOOTSTRAP PROGRESS=100 TAG=done SUMMARY="Done"`:                    {"PROGRESS": "100", "TAG": "done", "SUMMARY": "Done"},
		`WARN BOOTSTRAP WARNING="Clock skew -3600 in directory" REASON=CLOCK_SKEW`: {"WARNING": "Clock skew -3600 in directory", "REASON": "CLOCK_SKEW"},
		`STATUS_GENERAL WARN CLOCK_SKEW SKEW=3600 SOURCE=DIRSERV:127.0.0.1:1`:      {"SKEW": "3600", "SOURCE": "DIRSERV:127.0.0.1:1"},
		``:    {},
		`A=`:  {"A": ""},
		`a  `: {},
	} {
		got, err := arguments(text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v\n%s", text, err, diff)
		}
	}
	for _, bad := range []string{`A="`, `A="\`, `A="\x"`, `A="\0"`, `A="\777"`, `A=1 A=2`, `=1`, `A="b"c`, `A"=1`} {
		if got, err := arguments(bad); err == nil {
			t.Errorf("%q is read as %q", bad, got)
		}
	}
}

func FuzzArguments(f *testing.F) {
	for _, s := range []string{`AUTH METHODS=COOKIE COOKIEFILE="/run/tor/x\"y"`, `A="\303" B`, `A=1 A=2`, `=`, `"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		args, err := arguments(s)
		size := 0
		for k, v := range args {
			size += len(k) + len(v)
			if k == "" || strings.ContainsAny(k, ` ="`) {
				t.Errorf("the key %q", k)
			}
		}
		if err == nil && size > len(s) {
			t.Errorf("%q holds %d bytes", s, size)
		}
	})
}

func TestVersions(t *testing.T) {
	for text, want := range map[string]version{"0.4.9.11": {0, 4, 9, 11}, "0.4.8.16 (git-1234)": {0, 4, 8, 16}, "0.4.9.2-alpha-dev": {0, 4, 9, 2}} {
		if got, err := parseVersion(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "1.2.3", "0.4.9.11.2", "0.04.9.1", "x", "0.4.-9.1"} {
		if got, err := parseVersion(bad); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
	if !(version{0, 4, 6, 12}).before(oldest()) || (version{0, 4, 7, 16}).before(oldest()) || (version{0, 5, 0, 1}).before(oldest()) {
		t.Error("which tor is too old")
	}
}

// conversation answers each command that begins as it should.
func conversation(t *testing.T, turns ...[2]string) *control {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		r := bufio.NewReader(theirs)
		for _, turn := range turns {
			said, err := r.ReadString('\n')
			if err != nil || !strings.HasPrefix(said, turn[0]) {
				return
			}
			if _, err := theirs.Write([]byte(turn[1])); err != nil {
				return
			}
		}
	}()
	c := newControl(ours)
	t.Cleanup(c.close)
	return c
}

// Who pretends to be tor learns nothing of the cookie, and is not commanded.
func TestOnlyTheTorThatHasTheCookieIsCommanded(t *testing.T) {
	cookie := filepath.Join(t.TempDir(), "cookie")
	if err := os.WriteFile(cookie, make([]byte, cookieSize), 0o600); err != nil {
		t.Fatal(err)
	}
	info := [2]string{"PROTOCOLINFO 1", "250-PROTOCOLINFO 1\r\n250-AUTH METHODS=COOKIE,SAFECOOKIE COOKIEFILE=\"" + cookie + "\"\r\n250 OK\r\n"}
	forged := strings.Repeat("0", 64)
	c := conversation(t, info, [2]string{"AUTHCHALLENGE SAFECOOKIE ", "250 AUTHCHALLENGE SERVERHASH=" + forged + " SERVERNONCE=" + forged + "\r\n"})
	if err := c.authenticate(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "not the tor that wrote the cookie") {
		t.Errorf("a forged proof: %v", err)
	}
	for name, said := range map[string]string{"no cookie": "METHODS=HASHEDPASSWORD", "nothing at all": "METHODS=NULL", "the cookie in the clear": "METHODS=COOKIE COOKIEFILE=\"" + cookie + "\""} {
		c := conversation(t, [2]string{"PROTOCOLINFO 1", "250-PROTOCOLINFO 1\r\n250-AUTH " + said + "\r\n250 OK\r\n"})
		var no *trouble
		if err := c.authenticate(t.Context(), ""); !errors.As(err, &no) || !strings.Contains(no.hint, "CookieAuthentication 1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, file := range []string{"/etc/hostname", "/proc/self/status", "/nowhere", t.TempDir()} {
		c := conversation(t, [2]string{"PROTOCOLINFO 1", "250-AUTH METHODS=SAFECOOKIE COOKIEFILE=\"" + file + "\"\r\n250 OK\r\n"})
		if err := c.authenticate(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "cookie") {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Whoever answers at the control port may name any file as its cookie. A pipe is not waited for.
func TestCookieIsAFile(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "cookie")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{pipe, filepath.Dir(pipe), "/dev/zero", filepath.Join(filepath.Dir(pipe), "none")} {
		if secret, err := readCookie(name); err == nil {
			t.Errorf("%s is read as %x", name, secret)
		}
	}
}

func TestCommandsAreOneLine(t *testing.T) {
	c := conversation(t)
	if _, err := c.do(t.Context(), "GETINFO", "version\r\nSIGNAL SHUTDOWN"); err == nil || !strings.Contains(err.Error(), "several lines") {
		t.Errorf("%v", err)
	}
}

// Events come in between, and no answer is lost by them; too many are not tor's.
func TestEventsBetweenAnswers(t *testing.T) {
	event := "650 HS_DESC UPLOADED x UNKNOWN y\r\n"
	c := conversation(t, [2]string{"GETINFO version", event + "250-version=0.4.9.11\r\n" + "250 OK\r\n"}, [2]string{"GETINFO version", strings.Repeat(event, maxPending+1)})
	if got, err := c.info(t.Context(), "version"); err != nil || got != "0.4.9.11" || len(c.pending) != 1 {
		t.Errorf("%q, %v, %d events", got, err, len(c.pending))
	}
	if _, err := c.info(t.Context(), "version"); !errors.Is(err, errMalformed) {
		t.Errorf("a flood of events: %v", err)
	}
	refused := conversation(t, [2]string{"ADD_ONION", "550 Onion address collision\r\n"})
	var no *refusal
	if _, err := refused.do(context.Background(), "ADD_ONION", "ED25519-V3:secret"); !errors.As(err, &no) || no.code != 550 || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}
