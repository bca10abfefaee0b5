package wireguard

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
)

// The door's own answers to questions for names (RFC 1035). Inside the tunnel the home's
// name leads to the door's address there; nothing else is known, and an owner who wants
// other names answered says by whom.

const (
	nameLives   = 60 // seconds for which an answer may be kept
	askTime     = 4 * time.Second
	streamTime  = 10 * time.Second // for a question over TCP
	maxQuestion = 4096
	maxAnswer   = 64 << 10
)

// answerer answers questions.
type answerer struct {
	names    []string
	own      []netip.Addr
	upstream netip.AddrPort // zero where nobody is asked
}

func newAnswerer(names []string, own []netip.Addr, upstream netip.AddrPort) *answerer {
	return &answerer{names: names, own: own, upstream: upstream}
}

// local answers what can be answered here. ask is set where it is for somebody else to;
// nothing is answered to what is no question.
func (a *answerer) local(query []byte) (answer []byte, ask bool) {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil || h.Response || len(query) > maxQuestion {
		return nil, false
	}
	reply := dnsmessage.Header{ID: h.ID, Response: true, OpCode: h.OpCode, RecursionDesired: h.RecursionDesired, RecursionAvailable: a.upstream.IsValid()}
	if h.OpCode != 0 {
		reply.RCode = dnsmessage.RCodeNotImplemented
		return build(reply, nil, nil, false), false
	}
	questions, err := p.AllQuestions()
	if err != nil || len(questions) != 1 || h.Truncated {
		reply.RCode = dnsmessage.RCodeFormatError
		return build(reply, nil, nil, false), false
	}
	extended, err := hasOPT(&p)
	if err != nil {
		reply.RCode = dnsmessage.RCodeFormatError
		return build(reply, questions, nil, false), false
	}
	q := questions[0]
	if !a.isOurs(q.Name) || q.Class != dnsmessage.ClassINET {
		if a.upstream.IsValid() {
			return nil, true
		}
		reply.RCode = dnsmessage.RCodeRefused
		return build(reply, questions, nil, extended), false
	}
	reply.Authoritative = true
	return build(reply, questions, a.addresses(q.Type), extended), false
}

// hasOPT reports whether a question says that it knows EDNS (RFC 6891).
func hasOPT(p *dnsmessage.Parser) (bool, error) {
	if err := errors.Join(p.SkipAllAnswers(), p.SkipAllAuthorities()); err != nil {
		return false, err
	}
	for found := false; ; {
		h, err := p.AdditionalHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return found, nil
		}
		if err != nil {
			return false, err
		}
		found = found || h.Type == dnsmessage.TypeOPT
		if err := p.SkipAdditional(); err != nil {
			return false, err
		}
	}
}

// isOurs reports whether a name is one of the home's.
func (a *answerer) isOurs(n dnsmessage.Name) bool {
	return slices.Contains(a.names, strings.ToLower(strings.TrimSuffix(n.String(), ".")))
}

// addresses are the home's, of the family that is asked for.
func (a *answerer) addresses(t dnsmessage.Type) (found []dnsmessage.ResourceBody) {
	for _, addr := range a.own {
		switch {
		case addr.Is4() && (t == dnsmessage.TypeA || t == dnsmessage.TypeALL):
			found = append(found, &dnsmessage.AResource{A: addr.As4()})
		case addr.Is6() && (t == dnsmessage.TypeAAAA || t == dnsmessage.TypeALL):
			found = append(found, &dnsmessage.AAAAResource{AAAA: addr.As16()})
		}
	}
	return found
}

// build writes an answer. It is nil for what cannot be written, which is answered by
// silence.
func build(h dnsmessage.Header, questions []dnsmessage.Question, answers []dnsmessage.ResourceBody, extended bool) []byte {
	m := dnsmessage.Message{Header: h, Questions: questions}
	for _, body := range answers {
		head := dnsmessage.ResourceHeader{Name: questions[0].Name, Class: dnsmessage.ClassINET, TTL: nameLives}
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: body})
	}
	if extended {
		var head dnsmessage.ResourceHeader
		if err := head.SetEDNS0(1232, dnsmessage.RCodeSuccess, false); err != nil {
			return nil
		}
		m.Additionals = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.OPTResource{}}}
	}
	packed, err := m.Pack()
	if err != nil {
		return nil
	}
	return packed
}

// ask has the upstream answer. What comes back belongs to this very question, by a number
// that only it was told.
func (a *answerer) ask(ctx context.Context, network string, query []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, network, a.upstream.String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	own := slices.Clone(query)
	rand.Read(own[:2])
	if err := send(c, network, own); err != nil {
		return nil, err
	}
	for {
		answer, err := receive(c, network, maxAnswer)
		if err != nil {
			return nil, err
		}
		if belongs(own, answer) {
			copy(answer, query[:2])
			return answer, nil
		}
	}
}

// belongs reports whether an answer is to a question.
func belongs(query, answer []byte) bool {
	var q, p dnsmessage.Parser
	asked, err := q.Start(query)
	if err != nil {
		return false
	}
	h, err := p.Start(answer)
	if err != nil || !h.Response || h.ID != asked.ID {
		return false
	}
	want, err := q.Question()
	if err != nil {
		return false
	}
	got, err := p.Question()
	return err == nil && got.Type == want.Type && got.Class == want.Class && strings.EqualFold(got.Name.String(), want.Name.String())
}

// send writes a message; over TCP its length stands before it.
func send(c net.Conn, network string, message []byte) error {
	if network == "tcp" {
		message = append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
	}
	_, err := c.Write(message)
	return err
}

func receive(c net.Conn, network string, most int) ([]byte, error) {
	if network != "tcp" {
		message := make([]byte, most)
		n, err := c.Read(message)
		return message[:n], err
	}
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if n > most {
		return nil, errors.New("the message is too long")
	}
	message := make([]byte, n)
	_, err := io.ReadFull(c, message)
	return message, err
}

// question is one that the upstream is asked for a peer: it takes the room of a flow.
type question struct{ end context.CancelFunc }

func (q *question) cut() { q.end() }

// answerOne answers a question of a peer's; nil where there is nothing to say.
func (d *Door) answerOne(ctx context.Context, m *member, network string, query []byte) []byte {
	answer, ask := d.names.local(query)
	if !ask {
		return answer
	}
	ctx, cancel := context.WithCancel(ctx)
	q := &question{cancel}
	defer cancel()
	if !m.flow(q) {
		return nil
	}
	defer m.leave(q)
	answer, err := d.names.ask(ctx, network, query)
	if err != nil {
		return nil // as if it were lost: the client asks again, or elsewhere
	}
	return answer
}

// answer answers what comes by UDP to one of the door's addresses, until ctx ends.
func (d *Door) answer(ctx context.Context, addr netip.Addr) error {
	c, err := gonet.DialUDP(d.tunnel.stack, &tcpip.FullAddress{NIC: nicID, Addr: tcpip.AddrFromSlice(addr.AsSlice()), Port: portDNS}, nil, protocolOf(addr))
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	defer c.Close()
	for {
		query := make([]byte, maxQuestion+1)
		n, from, err := c.ReadFrom(query)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		m := d.peers.at(from.(*net.UDPAddr).AddrPort().Addr().Unmap())
		if m == nil {
			continue
		}
		if answer, ask := d.names.local(query[:n]); !ask {
			reply(c, answer, from)
			continue
		}
		go func() { reply(c, d.answerOne(ctx, m, "udp", query[:n]), from) }()
	}
}

// reply sends an answer. One that is lost is asked for again.
func reply(c net.PacketConn, answer []byte, to net.Addr) {
	if answer != nil {
		_, _ = c.WriteTo(answer, to)
	}
}

// answerStream answers what comes over one TCP connection.
func (d *Door) answerStream(c *Conn) {
	defer c.Close()
	for {
		if err := c.SetDeadline(time.Now().Add(streamTime)); err != nil {
			return
		}
		query, err := receive(c, "tcp", maxQuestion)
		if err != nil {
			return
		}
		answer := d.answerOne(d.tunnel.ctx, c.peer, "tcp", query)
		if answer == nil || send(c, "tcp", answer) != nil {
			return
		}
	}
}
