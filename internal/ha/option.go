package ha

import (
	"net/netip"
	"strconv"
	"strings"
)

// optionValue is a value of an http option before it is judged: text, or a list of
// texts. What YAML takes for a number or a truth value is the text that stands there.
type optionValue struct {
	texts []string
	list  bool
	null  bool
}

// set takes one option as Home Assistant's schema does (components/http): text for a
// list of one, truth values in many words, networks without host bits.
func (h *HTTPSettings) set(name string, v optionValue, at Place) error {
	bad := func(why string) error { return &SettingError{at, name, why} }
	one := ""
	if !v.list && !v.null {
		one = v.texts[0]
	}
	single := !v.list && !v.null
	switch name {
	case "server_host":
		if len(v.texts) == 0 {
			return bad("is empty")
		}
		h.ServerHost = v.texts
	case "cors_allowed_origins":
		h.CORSAllowedOrigins = v.texts
	case "trusted_proxies":
		h.TrustedProxies = nil
		for _, text := range v.texts {
			p, ok := parseNetwork(text)
			if !ok {
				return bad(strconv.Quote(text) + " is no address and no network")
			}
			h.TrustedProxies = append(h.TrustedProxies, p)
		}
	case "server_port":
		n, err := strconv.Atoi(one)
		if !single || err != nil || n < 1 || n > 65535 || one[0] == '0' || one[0] == '+' {
			return bad("is no port")
		}
		h.ServerPort = n
	case "login_attempts_threshold":
		n, err := strconv.Atoi(one)
		if !single || err != nil || n < -1 || len(one) > 1 && one[0] == '0' {
			return bad("is no number from -1 up")
		}
		h.LoginAttemptsThreshold = n
	case "ssl_certificate", "ssl_key", "ssl_peer_certificate", "ssl_profile":
		if !single || one == "" {
			return bad("is no text")
		}
		*map[string]*string{"ssl_certificate": &h.SSLCertificate, "ssl_key": &h.SSLKey,
			"ssl_peer_certificate": &h.SSLPeerCertificate, "ssl_profile": &h.SSLProfile}[name] = one
	case "use_x_forwarded_for", "ip_ban_enabled", "use_x_frame_options":
		b, ok := parseBool(one)
		if !single || !ok {
			return bad("is neither true nor false")
		}
		*map[string]*bool{"use_x_forwarded_for": &h.UseXForwardedFor, "ip_ban_enabled": &h.IPBanEnabled,
			"use_x_frame_options": &h.UseXFrameOptions}[name] = b
	case "base_url": // until 2022; ignored
	default:
		return bad("Home Assistant has no such option")
	}
	h.Places[name] = at
	return nil
}

// parseBool reads a truth value in the words of helpers/config_validation.py.
func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "1", "true", "yes", "on", "enable":
		return true, true
	case "0", "false", "no", "off", "disable":
		return false, true
	}
	return false, false
}

// parseNetwork reads an address or network as Python's ipaddress.ip_network does:
// host bits are an error, a mask may be written as one.
func parseNetwork(s string) (netip.Prefix, bool) {
	text, mask, masked := strings.Cut(s, "/")
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, false
	}
	bits := addr.BitLen()
	if masked {
		if bits, err = strconv.Atoi(mask); err != nil {
			m, err := netip.ParseAddr(mask)
			if err != nil || !m.Is4() || !addr.Is4() {
				return netip.Prefix{}, false
			}
			if bits = maskBits(m.As4()); bits < 0 {
				return netip.Prefix{}, false
			}
		} else if mask[0] == '+' || mask[0] == '-' || bits > addr.BitLen() {
			return netip.Prefix{}, false
		}
	}
	p := netip.PrefixFrom(addr, bits)
	return p, p.Masked() == p
}

// maskBits counts the bits of a network mask, or of its inverse, which Python takes
// too; -1 if it is neither.
func maskBits(m [4]byte) int {
	v := uint32(m[0])<<24 | uint32(m[1])<<16 | uint32(m[2])<<8 | uint32(m[3])
	for bits := range 33 {
		net := ^uint32(0) << (32 - bits)
		if bits == 0 {
			net = 0
		}
		if v == net || v == ^net && v != 0 && ^v != 0 {
			return bits
		}
	}
	return -1
}
