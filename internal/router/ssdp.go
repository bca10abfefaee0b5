package router

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// searched are the kinds of devices and services that answer where a router opens ports.
func searched() []string {
	return append([]string{"urn:schemas-upnp-org:device:InternetGatewayDevice:1", "urn:schemas-upnp-org:device:InternetGatewayDevice:2"}, connections()...)
}

// connections are the services that lead ports into the house.
func connections() []string {
	return []string{
		"urn:schemas-upnp-org:service:WANIPConnection:1", "urn:schemas-upnp-org:service:WANIPConnection:2",
		"urn:schemas-upnp-org:service:WANPPPConnection:1",
	}
}

// Bounds of what is taken of a search.
const (
	maxDatagram  = 2048
	maxLocations = 4
	maxDatagrams = 256
)

// searchRequest is SSDP's question for a kind (UPnP Device Architecture 1.1, section 1.3).
func searchRequest(to netip.AddrPort, kind string) []byte {
	return []byte("M-SEARCH * HTTP/1.1\r\nHOST: " + to.String() + "\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: " + kind + "\r\n\r\n")
}

// A searchAnswer is what something in the network says to a search.
type searchAnswer struct{ kind, location string }

// errOther is what answers, and to another question.
var errOther = errors.New("it is no answer to our search")

// parseSearch reads an answer to a search.
func parseSearch(b []byte) (searchAnswer, error) {
	if len(b) > maxDatagram {
		return searchAnswer{}, errors.New("the answer to the search is too long")
	}
	head, _, whole := strings.Cut(string(b), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	if words := strings.Fields(lines[0]); len(words) < 2 || words[0] != "HTTP/1.1" && words[0] != "HTTP/1.0" || words[1] != "200" {
		return searchAnswer{}, errors.New("the answer to the search is none of SSDP's")
	}
	if !whole {
		return searchAnswer{}, errors.New("the answer to the search is cut short")
	}
	var a searchAnswer
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return searchAnswer{}, errors.New("the answer to the search has a line that is no header")
		}
		into := map[string]*string{"ST": &a.kind, "LOCATION": &a.location}[strings.ToUpper(name)]
		if into == nil {
			continue
		}
		if *into != "" {
			return a, errors.New("the answer to the search says " + name + " twice")
		}
		*into = strings.TrimSpace(value)
	}
	if !slices.Contains(searched(), a.kind) {
		return searchAnswer{}, errOther
	}
	if a.location == "" {
		return a, errors.New("the answer to the search does not say where the description is")
	}
	return a, nil
}

// search returns where the descriptions of a router are that answers to SSDP. found says
// that it answers at all; an error, that something in what it said is wrong.
func (a asking) search(ctx context.Context, gateway, self netip.Addr) (locations []*url.URL, found bool, err error) {
	c, err := (&net.ListenConfig{Control: stayHere}).ListenPacket(ctx, "udp4", netip.AddrPortFrom(self, 0).String())
	if err != nil {
		return nil, false, fmt.Errorf("search over SSDP: %w", err)
	}
	defer c.Close()
	end := time.Now().Add(a.patience)
	if d, ok := ctx.Deadline(); ok && d.Before(end) {
		end = d
	}
	var again time.Time
	var errs []error
	buf := make([]byte, maxDatagram+1)
	// What is told to one machine must come from it, and so must what is told to all.
	for heard := 0; time.Now().Before(end) && ctx.Err() == nil; {
		if heard == maxDatagrams {
			errs = append(errs, errors.New("so much answers to the search that the router's own answer may be lost"))
			break
		}
		if !time.Now().Before(again) {
			if err := a.sendSearch(c, gateway); err != nil {
				return locations, found, errors.Join(append(errs, fmt.Errorf("search over SSDP: %w", err))...)
			}
			again = time.Now().Add(a.patience / 4)
		}
		if err := c.SetReadDeadline(earlier(again, end)); err != nil {
			return locations, found, err
		}
		n, from, err := c.ReadFrom(buf)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			continue
		}
		if err != nil {
			return locations, found, errors.Join(append(errs, err)...)
		}
		if heard++; from.(*net.UDPAddr).AddrPort().Addr().Unmap() != gateway {
			continue
		}
		said, err := parseSearch(buf[:n])
		if errors.Is(err, errOther) {
			continue
		}
		found = found || said.kind != ""
		var at *url.URL
		if err == nil {
			at, err = own(gateway, said.location)
		}
		switch {
		case err != nil:
			if len(errs) < maxLocations {
				errs = append(errs, err)
			}
		case len(locations) == maxLocations || slices.ContainsFunc(locations, func(u *url.URL) bool { return u.String() == at.String() }):
		default:
			if len(locations) == 0 {
				end = earlier(end, time.Now().Add(a.patience/4)) // others are near
			}
			locations = append(locations, at)
		}
	}
	return locations, found, errors.Join(errs...)
}

// knock searches at a router alone, by a socket that hears a refusal. It goes before all
// other searches: a router refuses a few times and then keeps still (Linux: six, then one
// a second).
func (a asking) knock(ctx context.Context, gateway netip.Addr) (net.Conn, error) {
	at := netip.AddrPortFrom(gateway, a.ssdp)
	c, err := dialer().DialContext(ctx, "udp4", at.String())
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(searchRequest(at, searched()[0])); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// refused reports whether a router said that nobody listens where we knocked. Unlike an
// answer, which may come from any port of the router's, this passes every firewall of ours.
func (a asking) refused(c net.Conn) bool {
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(a.patience)); err != nil {
		return false
	}
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, syscall.ECONNREFUSED)
}

func (a asking) sendSearch(c net.PacketConn, gateway netip.Addr) error {
	var err error
	for _, kind := range searched() {
		at := netip.AddrPortFrom(gateway, a.ssdp)
		if _, err = c.WriteTo(searchRequest(at, kind), net.UDPAddrFromAddrPort(at)); err != nil {
			return err
		}
		// Some hear only what is told to all. A network that takes no multicast is no error.
		_, _ = c.WriteTo(searchRequest(a.group, kind), net.UDPAddrFromAddrPort(a.group))
	}
	return nil
}

// own reads an address that a router gave, which must be one of its own.
func own(gateway netip.Addr, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("it leads to what is no address: " + plain(text, 80))
	}
	return u, isOwn(gateway, u)
}

func isOwn(gateway netip.Addr, u *url.URL) error {
	host, err := netip.ParseAddr(u.Hostname())
	if u.Scheme != "http" || err != nil || host != gateway || u.User != nil || u.Opaque != "" {
		return errors.New("it leads elsewhere, where nobody is asked: " + plain(u.Redacted(), 80))
	}
	return nil
}
