package nft

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"reflect"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// The names in the table. Rules of ours carry the mark as a comment.
const (
	tableName  = "gatehouse_guard"
	portsName  = "ports"
	inputName  = "input"
	bannedName = "banned"
	mark       = "gatehouse"
)

// before is the priority of the chain: before a firewall's own, which is at 0 as a rule.
const before nftables.ChainPriority = -10

// keeps is a set of networks of one length.
type keeps struct {
	name string
	v6   bool
	bits int
	most uint32 // entries; the kernel refuses more
}

// sets hold at most 65536 addresses of IPv4 and as many networks of IPv6.
var sets = []keeps{
	{name: "v4", bits: 32, most: 65536},
	{name: "v6_48", v6: true, bits: 48, most: 16384},
	{name: "v6_56", v6: true, bits: 56, most: 16384},
	{name: "v6_64", v6: true, bits: 64, most: 16384},
	{name: "v6_128", v6: true, bits: 128, most: 16384},
}

// setOf is the set that a prefix belongs into.
func setOf(p netip.Prefix) (keeps, bool) {
	i := slices.IndexFunc(sets, func(s keeps) bool {
		return p.IsValid() && s.v6 == p.Addr().Is6() && !p.Addr().Is4In6() && s.bits == p.Bits()
	})
	if i < 0 {
		return keeps{}, false
	}
	return sets[i], true
}

// form is the table as it should be.
type form struct {
	table         *nftables.Table
	ports         *nftables.Set
	portNumbers   []nftables.SetElement
	sets          []*nftables.Set
	input, banned *nftables.Chain
	rules         []*nftables.Rule // of both chains, each in its order
}

func formOf(ports []uint16) form {
	f := form{table: &nftables.Table{Name: tableName, Family: nftables.TableFamilyINet}}
	f.ports = &nftables.Set{Table: f.table, Name: portsName, KeyType: nftables.TypeInetService, KeyByteOrder: binaryutil.BigEndian}
	ports = slices.Clone(ports)
	slices.Sort(ports)
	for _, p := range slices.Compact(ports) {
		f.portNumbers = append(f.portNumbers, nftables.SetElement{Key: binary.BigEndian.AppendUint16(nil, p)})
	}
	for _, s := range sets {
		kind := nftables.TypeIPAddr
		if s.v6 {
			kind = nftables.TypeIP6Addr
		}
		f.sets = append(f.sets, &nftables.Set{Table: f.table, Name: s.name, KeyType: kind, KeyByteOrder: binaryutil.BigEndian, HasTimeout: true, Size: s.most})
	}
	accept := nftables.ChainPolicyAccept
	f.input = &nftables.Chain{Table: f.table, Name: inputName, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityRef(before), Policy: &accept}
	f.banned = &nftables.Chain{Table: f.table, Name: bannedName}
	f.rules = append(f.rules, f.rule(f.input, opensDoor()))
	for _, s := range sets {
		f.rules = append(f.rules, f.rule(f.banned, isBanned(s)))
	}
	return f
}

func (f form) rule(in *nftables.Chain, exprs []expr.Any) *nftables.Rule {
	return &nftables.Rule{Table: f.table, Chain: in, Exprs: exprs, UserData: userdata.AppendString(nil, userdata.TypeComment, mark)}
}

func (f form) set(name string) *nftables.Set {
	i := slices.IndexFunc(f.sets, func(s *nftables.Set) bool { return s.Name == name })
	return f.sets[i]
}

const register = unix.NFT_REG_1

// opensDoor matches what would open a connection to a door, and looks its source up. Every
// expression has to match: a packet too short to tell is let past.
func opensDoor() []expr.Any {
	var lo [unix.IFNAMSIZ]byte
	copy(lo[:], "lo")
	const flags, syn = 0x01 | 0x02 | 0x04 | 0x10, 0x02 // FIN, SYN, RST, ACK
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}, // its port
		&expr.Lookup{SourceRegister: register, SetName: portsName},
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1}, // its flags
		&expr.Bitwise{SourceRegister: register, DestRegister: register, Len: 1, Mask: []byte{flags}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: []byte{syn}},
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: register},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: register, Data: lo[:]},
		&expr.Verdict{Kind: expr.VerdictJump, Chain: bannedName},
	}
}

// isBanned drops what comes from a network in a set.
func isBanned(s keeps) []expr.Any {
	family, offset, length := byte(unix.NFPROTO_IPV4), uint32(12), uint32(4)
	if s.v6 {
		family, offset, length = unix.NFPROTO_IPV6, 8, 16
	}
	match := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: register},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: []byte{family}},
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length}, // its source
	}
	if size := int(length) * 8; s.bits < size {
		match = append(match, &expr.Bitwise{SourceRegister: register, DestRegister: register, Len: length, Mask: net.CIDRMask(s.bits, size), Xor: make([]byte, length)})
	}
	return append(match, &expr.Lookup{SourceRegister: register, SetName: s.name}, &expr.Verdict{Kind: expr.VerdictDrop})
}

// make adds the table to what the next transaction does.
func (f form) make(conn *nftables.Conn) error {
	conn.AddTable(f.table)
	if err := conn.AddSet(f.ports, f.portNumbers); err != nil {
		return err
	}
	for _, s := range f.sets {
		if err := conn.AddSet(s, nil); err != nil {
			return err
		}
	}
	conn.AddChain(f.input)
	conn.AddChain(f.banned)
	for _, r := range f.rules {
		conn.AddRule(r)
	}
	return nil
}

// state is what there is of our table.
type state int

const (
	absent  state = iota
	whole         // as it should be
	damaged       // ours, and something is missing or different
	foreign       // there is something in it that we do not make
)

// look compares the kernel's table with ours.
func (t *Table) look() (state, error) {
	tables, err := t.conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return absent, err
	}
	i := slices.IndexFunc(tables, func(k *nftables.Table) bool { return k.Name == tableName })
	if i < 0 {
		return absent, nil
	}
	found := whole
	if tables[i].Flags != 0 {
		found = damaged // asleep, for instance
	}
	for _, part := range []func() (state, error){t.lookAtOthers, t.lookAtSets, t.lookAtChains} {
		s, err := part()
		if err != nil {
			return absent, err
		}
		found = max(found, s)
	}
	return found, nil
}

// lookAtOthers looks for kinds of things that we never make.
func (t *Table) lookAtOthers() (state, error) {
	objects, err := t.conn.GetObjects(t.want.table)
	if err != nil {
		return absent, err
	}
	flowtables, err := t.conn.ListFlowtables(t.want.table)
	if err != nil {
		return absent, err
	}
	if len(objects)+len(flowtables) > 0 {
		return foreign, nil
	}
	return whole, nil
}

func (t *Table) lookAtSets() (state, error) {
	there, err := t.conn.GetSets(t.want.table)
	if err != nil {
		return absent, err
	}
	wanted := append([]*nftables.Set{t.want.ports}, t.want.sets...)
	found := whole
	if len(there) < len(wanted) {
		found = damaged
	}
	for _, s := range there {
		i := slices.IndexFunc(wanted, func(w *nftables.Set) bool { return w.Name == s.Name })
		switch {
		case i < 0 || s.IsMap || s.KeyType.Name != wanted[i].KeyType.Name:
			return foreign, nil
		case s.Interval || s.Constant || s.Dynamic || s.HasTimeout != wanted[i].HasTimeout || s.Size != wanted[i].Size || s.Timeout != 0:
			found = damaged
		}
	}
	if found == damaged {
		return damaged, nil
	}
	numbers, err := t.conn.GetSetElements(t.want.ports)
	if err != nil {
		return absent, err
	}
	byKey := func(a, b nftables.SetElement) int { return bytes.Compare(a.Key, b.Key) }
	slices.SortFunc(numbers, byKey)
	if !slices.EqualFunc(numbers, t.want.portNumbers, func(a, b nftables.SetElement) bool { return byKey(a, b) == 0 }) {
		return damaged, nil
	}
	return whole, nil
}

func (t *Table) lookAtChains() (state, error) {
	chains, err := t.conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return absent, err
	}
	found, seen := whole, 0
	for _, c := range chains {
		if c.Table.Name != tableName {
			continue
		}
		seen++
		want := t.want.banned
		switch c.Name {
		case inputName:
			want = t.want.input
		case bannedName:
		default:
			return foreign, nil
		}
		if !alike(c, want) {
			found = damaged
		}
		rules, err := t.conn.GetRules(t.want.table, want)
		if err != nil {
			return absent, err
		}
		found = max(found, t.compare(want, rules))
	}
	if seen < 2 {
		found = max(found, damaged)
	}
	return found, nil
}

// alike compares where chains hang.
func alike(a, b *nftables.Chain) bool {
	return a.Type == b.Type && reflect.DeepEqual(a.Hooknum, b.Hooknum) && reflect.DeepEqual(a.Priority, b.Priority) && reflect.DeepEqual(a.Policy, b.Policy)
}

// compare compares the rules of a chain with ours.
func (t *Table) compare(in *nftables.Chain, there []*nftables.Rule) state {
	for _, r := range there {
		if comment, ok := userdata.GetString(r.UserData, userdata.TypeComment); !ok || comment != mark {
			return foreign
		}
	}
	var wanted []*nftables.Rule
	for _, r := range t.want.rules {
		if r.Chain == in {
			wanted = append(wanted, r)
		}
	}
	if !slices.EqualFunc(there, wanted, func(a, b *nftables.Rule) bool { return reflect.DeepEqual(a.Exprs, b.Exprs) }) {
		return damaged
	}
	return whole
}
