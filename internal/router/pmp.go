package router

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// pmpAnswer is what a router said to NAT-PMP and PCP.
type pmpAnswer struct {
	there    bool // something came back, be it a refusal
	speaks   bool
	pcp      bool // PCP, and not only NAT-PMP
	told     bool // where it is outside, over NAT-PMP, be it nowhere
	external netip.Addr
	err      error // why it is not known; nil where it is silent
}

// The numbers of NAT-PMP (RFC 6886, section 3) and PCP (RFC 6887, section 7).
const (
	versionPMP, versionPCP = 0, 2
	pmpExternal            = 0 // opcode: the external address
	pcpAnnounce            = 0 // opcode: nothing but an answer
	isReply                = 0x80
	notAuthorized          = 2 // result of both: switched off by the owner
	networkFailure         = 3 // result of NAT-PMP: it has no address now
	maxPCP                 = 1100
)

// A pmpReply is one answer of either protocol.
type pmpReply struct {
	off      bool // it knows the protocol, and its owner switched it off
	pcp      bool // it does what was asked, over PCP
	told     bool // it says where it is outside, be it nowhere
	external netip.Addr
}

// externalRequest asks for the router's external address; it changes nothing.
func externalRequest() []byte { return []byte{versionPMP, pmpExternal} }

// announceRequest asks for nothing but an answer. It carries our own address, which the
// router compares with where it comes from.
func announceRequest(self netip.Addr) []byte {
	b := make([]byte, 24)
	b[0], b[1] = versionPCP, pcpAnnounce
	as16 := self.As16()
	copy(b[8:], as16[:])
	return b
}

// parsePMP reads an answer to one of the two requests.
func parsePMP(b []byte) (pmpReply, error) {
	switch {
	case len(b) < 8:
		return pmpReply{}, errors.New("the answer to NAT-PMP is cut short")
	case b[0] == versionPMP && b[1]&isReply != 0:
		// To a newer request an old router says that it does not know this version.
		switch result := binary.BigEndian.Uint16(b[2:]); {
		case result == notAuthorized:
			return pmpReply{off: true}, nil
		case result != 0:
			return pmpReply{told: result == networkFailure}, nil // it speaks: it has no address now, or knows no newer version
		case b[1] != isReply|pmpExternal || len(b) != 12:
			return pmpReply{}, errors.New("it answers with what is none of NAT-PMP's")
		}
		r := pmpReply{told: true, external: netip.AddrFrom4([4]byte(b[8:12]))}
		if r.external.IsUnspecified() {
			r.external = netip.Addr{}
		}
		return r, nil
	case b[0] >= 1 && b[1]&isReply != 0:
		if len(b) < 24 || len(b)%4 != 0 || len(b) > maxPCP {
			return pmpReply{}, errors.New("it answers with what is none of PCP's")
		}
		return pmpReply{off: b[3] == notAuthorized, pcp: b[0] == versionPCP && b[3] == 0}, nil
	}
	return pmpReply{}, errors.New("it answers with what is neither NAT-PMP nor PCP")
}

// askPMP asks whether a router speaks NAT-PMP or PCP, and what its external address is.
func (a asking) askPMP(ctx context.Context, gateway, self netip.Addr) (said pmpAnswer) {
	c, err := dialer().DialContext(ctx, "udp", netip.AddrPortFrom(gateway, a.pmp).String())
	if err != nil {
		said.err = fmt.Errorf("ask over PCP: %w", err)
		return said
	}
	defer c.Close()
	questions := [][]byte{announceRequest(self)}
	if gateway.Is4() {
		questions = append(questions, externalRequest())
	}
	end := time.Now().Add(a.patience)
	if d, ok := ctx.Deadline(); ok && d.Before(end) {
		end = d
	}
	heard, off := 0, 0
	buf := make([]byte, maxPCP+1)
	for wait := a.patience / 6; ; wait *= 2 { // RFC 6886, section 3.1: again, each time later
		for _, q := range questions {
			if _, err := c.Write(q); err != nil {
				return said.broken(err)
			}
		}
		again := time.Now().Add(wait)
		for time.Now().Before(again) && heard < len(questions) {
			if err := c.SetReadDeadline(earlier(again, end)); err != nil {
				return said.broken(err)
			}
			n, err := c.Read(buf)
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				break
			}
			if err != nil {
				return said.broken(err)
			}
			said.there = true
			r, err := parsePMP(buf[:n])
			if err != nil {
				said.err = err
				continue
			}
			heard++
			if r.off {
				off++
				continue
			}
			said.speaks, said.pcp = true, said.pcp || r.pcp
			said.told = said.told || r.told
			if r.external.IsValid() {
				said.external = r.external
			}
		}
		if heard > 0 || !time.Now().Before(end) || ctx.Err() != nil {
			break
		}
	}
	if said.speaks || off > 0 {
		said.err = nil
	}
	return said
}

// broken is the end of asking by an error: a refusal of the port is an answer.
func (said pmpAnswer) broken(err error) pmpAnswer {
	if errors.Is(err, syscall.ECONNREFUSED) {
		said.there = true
		return said
	}
	if !said.speaks {
		said.err = fmt.Errorf("ask over PCP: %w", err)
	}
	return said
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
