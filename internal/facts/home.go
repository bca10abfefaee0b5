package facts

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"path"
	"strconv"

	"gatehouse/internal/ha"
)

// read reads what a configuration directory says of its home.
func read(root fs.FS, name string, kind Kind, process int) Home {
	h := Home{Dir: "/" + name, Kind: kind, Process: process, Onboarded: Unknown}
	dir, err := fs.Sub(root, name)
	if err != nil {
		h.Unread = err
		return h
	}
	// Asked for by itself: that the onboarding is not done must not stand for a file
	// that is closed to us.
	_, closed := fs.Stat(dir, path.Join(".storage", "onboarding"))
	settings, err := ha.ReadSettings(dir)
	h.Unread = err
	if settings.Version != (ha.Release{}) {
		h.Release = settings.Version.String()
	}
	switch {
	case settings.Onboarded:
		h.Onboarded = Yes
	case err == nil || errors.Is(closed, fs.ErrNotExist):
		h.Onboarded = No
	}
	if settings.Source == "" {
		return h
	}
	running := settings.HTTP
	if settings.Pending != nil && settings.PendingError == "" {
		running = *settings.Pending
	}
	h.URL = address(running)
	h.Trusts = []string{}
	if running.UseXForwardedFor {
		for _, p := range running.TrustedProxies {
			h.Trusts = append(h.Trusts, p.String())
		}
	}
	return h
}

// address is where Home Assistant answers with these settings, seen from its own
// machine: on loopback if it listens there, otherwise on the first address it names.
func address(s ha.HTTPSettings) string {
	scheme, host := "http", ""
	if s.SSLCertificate != "" {
		scheme = "https"
	}
	for _, name := range s.ServerHost {
		addr, err := netip.ParseAddr(name)
		switch {
		case err == nil && addr.IsUnspecified() && addr.Is6() && len(s.ServerHost) == 1:
			host = "::1" // whether it takes IPv4 there as well depends on the machine
		case err == nil && addr.IsUnspecified():
			host = "127.0.0.1"
		case host == "" || err == nil && addr.IsLoopback():
			host = name
		}
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(s.ServerPort))
}
