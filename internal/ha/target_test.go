package ha

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// goodTargets are targets and the decoded paths of them.
var goodTargets = [][2]string{
	{"/", "/"},
	{"/lovelace/0?edit=1", "/lovelace/0"},
	{"/api/hassio_ingress/tok/", "/api/hassio_ingress/tok/"},
	{"/media/local/My%20Film%20%28HD%29.mp4?authSig=a.b.c", "/media/local/My Film (HD).mp4"},
	{"/media/local/K%C3%BCche/%c3%a4.mp4", "/media/local/Küche/ä.mp4"},
	{"/api/history/period/2026-11-01T00%3A00%3A00%2B01:00", "/api/history/period/2026-11-01T00:00:00+01:00"},
	{"/a@b:c+d,e~f(g)h!i'j*k=l&m$n", "/a@b:c+d,e~f(g)h!i'j*k=l&m$n"},
	{"/media/local/a%23b%3Fc%5B1%5D%7Bx%7D%26.mp4", "/media/local/a#b?c[1]{x}&.mp4"},
	{"/media/local/%F0%9F%8E%AC.mp4", "/media/local/🎬.mp4"},
	{"/...", "/..."},
	{"/.well-known/x", "/.well-known/x"},
	{"/a.b/..c/.d", "/a.b/..c/.d"},
	{"/x?", "/x"},
	{"/x?a=%zz&b=/../;c=\\?d|{}^`\"<>'", "/x"},
}

var badTargets = []string{
	"", "*", "x", "http://home/", "//", "//x", "/x//y", "/x//", "/.", "/..", "/./x", "/../x", "/x/.", "/x/..", "/x/../y",
	"/%2e", "/%2E%2e/x", "/x/%2e%2e/y", "/x%2fy", "/x%2Fy", "/x%5cy", "/x%5Cy", "/x%25y", "/x%252fy", "/%61pi/", "/%7Ex", "/%5fx", "/%2Dx",
	"/x;y", "/x%3By", "/x%3b", "/x\\y", "/x y", "/x\ty", "/x\x00", "/x%00", "/x%0a", "/x%0D", "/x%1f", "/x%7f", "/x\x7f", "/x%C2%80", "/x%c2%9f",
	"/x%", "/x%4", "/x%zz", "/x%%41", "/xä", "/x%ff", "/x%c0%af", "/x%c0%ae", "/x%ed%a0%80", "/x%e4", "/x%f5%80%80%80", "/x#y", "/x?a#b", "/x?a b", "/x?ä", "/x?a\x00", "/x?a\x7f",
	"/x\"y", "/x<y", "/x>y", "/x[y]", "/x{y}", "/x|y", "/x^y", "/x`y", "?x", "/%2F", "/%",
}

func TestCanonicalTarget(t *testing.T) {
	for _, c := range goodTargets {
		path, query, err := CanonicalTarget(c[0])
		_, want, _ := strings.Cut(c[0], "?")
		if err != nil || path != c[1] || query != want {
			t.Errorf("%q is %q, %q, %v", c[0], path, query, err)
		}
	}
	for _, target := range badTargets {
		if path, query, err := CanonicalTarget(target); err == nil || path != "" || query != "" {
			t.Errorf("%q is taken: %q, %q, %v", target, path, query, err)
		}
	}
}

// FuzzCanonicalTarget: what is taken, net/url reads the same and writes back as it
// came, and no path that is taken can be written in a second way.
func FuzzCanonicalTarget(f *testing.F) {
	for _, c := range goodTargets {
		f.Add(c[0])
	}
	for _, target := range badTargets {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		path, query, err := CanonicalTarget(target)
		if err != nil {
			return
		}
		u, err := url.ParseRequestURI(target)
		if err != nil {
			t.Fatalf("net/url refuses %q: %v", target, err)
		}
		if u.Path != path || u.RawQuery != query || u.Host != "" {
			t.Fatalf("net/url reads %q as %+v, we as %q", target, u, path)
		}
		raw, _, _ := strings.Cut(target, "?")
		forwarded := url.URL{Scheme: "http", Host: "home", Path: path, RawPath: raw, RawQuery: query, ForceQuery: query == "" && strings.HasSuffix(target, "?")}
		if got := forwarded.RequestURI(); got != target {
			t.Fatalf("%q is forwarded as %q", target, got)
		}
		if !utf8.ValidString(path) || strings.Contains(path, "//") || strings.ContainsAny(path, "\\%;\x00\r\n") || strings.Contains(path+"/", "/../") || strings.Contains(path+"/", "/./") ||
			strings.Count(path, "/") != strings.Count(raw, "/") {
			t.Fatalf("%q is taken as %q", target, path)
		}
	})
}

func BenchmarkCanonicalTarget(b *testing.B) {
	for _, target := range []string{"/api/states/light.kitchen", "/frontend_latest/app.0123456789.js?x=1", "/media/local/K%C3%BCche%20oben.mp4?authSig=abc.def.ghi"} {
		b.Run(target, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _, _ = CanonicalTarget(target)
			}
		})
	}
}

func TestPageTarget(t *testing.T) {
	for target, want := range map[string]string{
		"/media-browser/browser/app%2Cmedia-source%3A%2F%2Fmedia_source": "/media-browser",
		"/config/devices/device/a%2Fb?historyBack=1":                     "/config",
		"/walk-lab/100%25": "/walk-lab",
	} {
		path, query, err := PageTarget(target)
		_, wantQuery, _ := strings.Cut(target, "?")
		if err != nil || path != want || query != wantQuery {
			t.Errorf("%s is %q, %q, %v", target, path, query, err)
		}
		if _, _, err := CanonicalTarget(target); err == nil {
			t.Errorf("%s needs no page's target", target)
		}
	}
	for _, target := range []string{
		"", "/", "/lovelace%2fx", "/api/x%2fy", "/auth/x%2fy", "/static/x%2fy", "/local/x%2fy", "/media/x%2fy", "/%61pi/x%2fy", "//lovelace/x%2fy",
		"/lovelace/..%2fapi%2fstates", "/lovelace/x%2f..%2fy", "/lovelace/x%2f.", "/lovelace/%2e%2e/api%2f", "/lovelace/%2e%2f", "/lovelace/../x%2fy",
		"/lovelace/x%2f%5c", "/lovelace/x%2f%00", "/lovelace/x%2f;y", "/lovelace/x%2f%2561%zz", "/lovelace/x%2f?a b", "/_gatehouse/auth/x%2fy", "http://h/lovelace/x%2f",
	} {
		if path, _, err := PageTarget(target); err == nil {
			t.Errorf("%q is taken for %q", target, path)
		}
	}
}

// FuzzPageTarget: what is returned is a panel's bare path and nothing else.
func FuzzPageTarget(f *testing.F) {
	f.Add("/media-browser/browser/app%2Cmedia-source%3A%2F%2Fmedia_source?a")
	for _, target := range badTargets {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		path, _, err := PageTarget(target)
		if err != nil {
			return
		}
		if again, query, err := CanonicalTarget(path); err != nil || again != path || query != "" || strings.Count(path, "/") != 1 || Classify("GET", path) != RouteShell {
			t.Errorf("%q became %q", target, path)
		}
	})
}
