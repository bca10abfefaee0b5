package router

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// The numbers of PCP's opcode MAP (RFC 6887, section 11).
const (
	pcpMap    = 1
	protoUDP  = 17
	mapLength = 60
	mapLife   = 120 // seconds; the least that is usual, and it is given back at once
)

// An opening is what a MAP is asked for: from anywhere to a port of ours.
type opening struct {
	nonce [12]byte
	self  netip.Addr
	port  uint16
}

// request asks for the opening for so many seconds; for none it is given back.
func (o opening) request(life uint32) []byte {
	b := make([]byte, mapLength)
	b[0], b[1] = versionPCP, pcpMap
	binary.BigEndian.PutUint32(b[4:], life)
	self := o.self.As16()
	copy(b[8:], self[:])
	copy(b[24:], o.nonce[:])
	b[36] = protoUDP
	binary.BigEndian.PutUint16(b[40:], o.port)
	anywhere := netip.IPv6Unspecified().As16()
	if o.self.Is4() {
		anywhere = netip.IPv4Unspecified().As16()
	}
	copy(b[44:], anywhere[:])
	return b
}

// parse reads the address on the Internet's side out of an answer. errOther is one to
// another question.
func (o opening) parse(b []byte) (netip.Addr, error) {
	if len(b) < 24 || b[0] != versionPCP || b[1] != isReply|pcpMap {
		return netip.Addr{}, errOther
	}
	if b[3] != 0 {
		return netip.Addr{}, fmt.Errorf("it refuses over PCP to say its address (result %d)", b[3])
	}
	if len(b) < mapLength || len(b)%4 != 0 || len(b) > maxPCP {
		return netip.Addr{}, errors.New("it answers with what is none of PCP's")
	}
	if !bytes.Equal(b[24:36], o.nonce[:]) || b[36] != protoUDP || binary.BigEndian.Uint16(b[40:]) != o.port {
		return netip.Addr{}, errOther
	}
	external := netip.AddrFrom16([16]byte(b[44:60])).Unmap()
	if external.IsUnspecified() {
		return netip.Addr{}, nil
	}
	return external, nil
}

// askMap asks a router for an opening, for the address that it says with it, and gives it
// back. It leads to the socket that asks, and that hears the router alone: nobody comes in
// by it.
func (a asking) askMap(ctx context.Context, gateway, self netip.Addr) (netip.Addr, error) {
	c, err := dialer().DialContext(ctx, "udp", netip.AddrPortFrom(gateway, a.pmp).String())
	if err != nil {
		return netip.Addr{}, fmt.Errorf("ask over PCP: %w", err)
	}
	defer c.Close()
	o := opening{self: self, port: c.LocalAddr().(*net.UDPAddr).AddrPort().Port()}
	rand.Read(o.nonce[:])
	end := time.Now().Add(a.patience)
	if d, ok := ctx.Deadline(); ok && d.Before(end) {
		end = d
	}
	defer func() { _, _ = c.Write(o.request(0)) }() // one that is lost ends by itself
	buf := make([]byte, maxPCP+1)
	for wait := a.patience / 6; time.Now().Before(end) && ctx.Err() == nil; wait *= 2 {
		if _, err := c.Write(o.request(mapLife)); err != nil {
			return netip.Addr{}, fmt.Errorf("ask over PCP: %w", err)
		}
		again := earlier(time.Now().Add(wait), end)
		for {
			if err := c.SetReadDeadline(again); err != nil {
				return netip.Addr{}, err
			}
			n, err := c.Read(buf)
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				break
			}
			if err != nil {
				return netip.Addr{}, fmt.Errorf("ask over PCP: %w", err)
			}
			if external, err := o.parse(buf[:n]); !errors.Is(err, errOther) {
				return external, err
			}
		}
	}
	return netip.Addr{}, errors.New("it does not answer over PCP where it is")
}
