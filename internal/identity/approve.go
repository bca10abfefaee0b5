package identity

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"math/big"
	"slices"

	"gatehouse/internal/event"
	"gatehouse/internal/guard"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
)

// AskApproval asks the known devices to let a browser in. ErrBusy where too many
// questions are open, from this address or in all.
func (i *Identity) AskApproval(ctx context.Context, v Visit) (Approval, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(90))
	if err != nil {
		return Approval{}, err
	}
	if v.Unheard {
		return Approval{}, ErrBusy
	}
	ticket, now := newCookie(), i.cfg.Now()
	v.Cookie, v.UserAgent = "", cleanUserAgent(v.UserAgent)
	q := &ask{ticket: hashOf(ticket), code: randomText(approveLen), number: 10 + int(n.Int64()), visit: v, source: guard.Source(v.Addr),
		asked: now, expires: now.Add(askFor), state: ApprovalWaiting}
	if !i.asks.add(q, now) {
		return Approval{}, ErrBusy
	}
	i.emit(event.ApprovalAsked, &v, nil, "", describe(v.UserAgent))
	return Approval{Ticket: ticket, Code: grouped(q.code), Number: q.number, Expires: q.expires}, nil
}

// PollApproval says how far a question is. The cookie comes once, with
// ApprovalApproved; after that the ticket is gone.
func (i *Identity) PollApproval(ctx context.Context, v Visit, ticket string) (ApprovalState, string, error) {
	q := i.asks.byTicket(hashOf(ticket), i.cfg.Now())
	if q == nil {
		return ApprovalGone, "", nil
	}
	switch state := i.asks.stateOf(q); state {
	case ApprovalApproved:
		cookie, err := i.collect(ctx, v, q)
		return state, cookie, err
	case ApprovalDenied:
		i.asks.drop(q)
		return state, "", nil
	default:
		return state, "", nil
	}
}

// collect gives an approved browser its session, once.
func (i *Identity) collect(ctx context.Context, v Visit, q *ask) (cookie string, err error) {
	if !i.asks.drop(q) {
		return "", ErrRefused
	}
	defer func() {
		if err != nil && !errors.Is(err, ErrRevoked) {
			i.asks.putBack(q)
		}
	}()
	i.writing.Lock()
	defer i.writing.Unlock()
	if !q.device.revoked.IsZero() {
		return "", ErrRevoked
	}
	a := &admission{now: i.cfg.Now(), device: q.device}
	i.giveSession(a, v)
	if err := i.change(ctx, a.write, func() { i.apply(a, false) }); err != nil {
		return "", err
	}
	i.emit(event.DeviceEnrolled, &v, q.device.person, q.device.id, q.device.name)
	return a.cookie, nil
}

// Waiting returns the questions that wait for an answer, the oldest first.
func (i *Identity) Waiting() []Waiting {
	now := i.cfg.Now()
	i.asks.mu.Lock()
	defer i.asks.mu.Unlock()
	var all []Waiting
	for _, q := range i.asks.all {
		if q.state != ApprovalWaiting || q.over(now) {
			continue
		}
		w := Waiting{ID: q.id, Door: string(q.visit.Door), UserAgent: q.visit.UserAgent, Name: describe(q.visit.UserAgent),
			Asked: q.asked, Expires: q.expires}
		if q.visit.Addr.IsValid() {
			w.Addr = q.visit.Addr.String()
		}
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b Waiting) int { return cmp.Or(a.Asked.Compare(b.Asked), cmp.Compare(a.ID, b.ID)) })
	return all
}

// Approve lets the browser that asks in as a device of the one who approves.
// ErrNotFresh unless they have just confirmed that it is them, ErrWrongNumber where
// the number is not the one that the browser shows: then it is denied, for a person
// who approves something else than what they look at is being tricked.
func (i *Identity) Approve(ctx context.Context, by policy.Who, id string, number int) error {
	if by.Proof < policy.ProofFresh {
		return ErrNotFresh
	}
	p, err := i.approver(by)
	if err != nil {
		return err
	}
	if !i.takeFreshness(by.Device) {
		return ErrNotFresh
	}
	q, to := i.asks.answer(i.cfg.Now(), func(q *ask) bool { return q.id == id }, func(q *ask) ApprovalState {
		if q.number != number {
			return ApprovalDenied
		}
		return ApprovalApproved
	})
	switch {
	case q == nil:
		return ErrNotFound
	case to == ApprovalDenied:
		i.denied(q, "wrong number at an approval")
		i.emit(event.ApprovalDenied, &q.visit, p, "", "wrong number")
		return ErrWrongNumber
	}
	_, err = i.grant(ctx, q, p)
	return err
}

// takeFreshness spends the freshness of a device's session; false if there is none, or
// if another request was quicker.
func (i *Identity) takeFreshness(device string) bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	d, ok := i.devices[device]
	if !ok {
		return false
	}
	now := ledger.Millis(i.cfg.Now())
	for _, e := range d.sessions {
		if until := e.fresh.Load(); now < until && e.fresh.CompareAndSwap(until, 0) {
			return true
		}
	}
	return false
}

// approver returns the person of a device that may answer questions now.
func (i *Identity) approver(by policy.Who) (*person, error) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	d, ok := i.devices[by.Device]
	switch {
	case !ok, d.person.id != by.Person, d.person.role < policy.RoleMember, by.Proof < policy.ProofDevice:
		return nil, ErrNotFound
	case !d.revoked.IsZero():
		return nil, ErrRevoked
	}
	return d.person, nil
}

// grant makes the browser of an approved question a device of p.
func (i *Identity) grant(ctx context.Context, q *ask, p *person) (Device, error) {
	d, err := i.addApproved(ctx, q, p)
	i.asks.mu.Lock()
	q.taken = false
	if err == nil {
		q.device, q.state = d, ApprovalApproved
	}
	i.asks.mu.Unlock()
	if err != nil {
		return Device{}, err
	}
	i.emit(event.ApprovalGranted, &q.visit, p, d.id, d.name)
	i.mu.RLock()
	defer i.mu.RUnlock()
	return d.public(), nil
}

func (i *Identity) addApproved(ctx context.Context, q *ask, p *person) (*device, error) {
	i.writing.Lock()
	defer i.writing.Unlock()
	now := i.cfg.Now()
	if !p.removed.IsZero() {
		return nil, ErrNotFound
	}
	dropped, err := i.makeRoom(p, now)
	if err != nil {
		return nil, err
	}
	d := newDevice(newID(i.devices), p, kindOf(q.visit.UserAgent), describe(q.visit.UserAgent), now)
	d.seen.Store(ledger.Millis(now))
	d.at(q.visit.Door, q.visit.Addr)
	a := &admission{now: now, device: d, dropped: dropped, isNew: true}
	return d, i.change(ctx, a.writeDevice, func() { i.applyDevice(a) })
}

// Deny turns the browser that asks away. Any live device of any person may.
func (i *Identity) Deny(ctx context.Context, by policy.Who, id string) error {
	p, err := i.approver(by)
	if err != nil {
		return err
	}
	q, _ := i.asks.answer(i.cfg.Now(), func(q *ask) bool { return q.id == id }, func(*ask) ApprovalState { return ApprovalDenied })
	if q == nil {
		return ErrNotFound
	}
	i.denied(q, "a known device said no")
	i.emit(event.ApprovalDenied, &q.visit, p, "", "")
	return nil
}

// denied reports the failure of a browser that asked in vain.
func (i *Identity) denied(q *ask, what string) {
	if i.cfg.Fail != nil {
		i.cfg.Fail(guard.Failure{Addr: q.visit.Addr, Kind: guard.Approval, Door: string(q.visit.Door), What: what})
	}
}

// ApproveCode lets the browser that shows a code in as a device of a person, by
// name; with name "" of the only person, or of the only owner, and ErrWhose where
// there are several. It is for the machine itself, where no proof is asked for.
func (i *Identity) ApproveCode(ctx context.Context, code, name string) (Device, error) {
	typed, ok := parseCode(code, approveLen)
	p, err := i.whose(name)
	if err != nil {
		return Device{}, err
	}
	if !ok {
		return Device{}, ErrNotFound
	}
	q, _ := i.asks.answer(i.cfg.Now(), func(q *ask) bool { return q.code == typed }, func(*ask) ApprovalState { return ApprovalApproved })
	if q == nil {
		return Device{}, ErrNotFound
	}
	return i.grant(ctx, q, p)
}

// whose returns the person of a name, or the one that no name means.
func (i *Identity) whose(name string) (*person, error) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if name != "" {
		if p, ok := i.names[nameKey(name)]; ok {
			return p, nil
		}
		return nil, ErrNotFound
	}
	var only *person
	for _, p := range i.names {
		if p.role != policy.RoleOwner && len(i.names) > 1 {
			continue
		}
		if only != nil {
			return nil, ErrWhose
		}
		only = p
	}
	if only == nil {
		return nil, ErrWhose
	}
	return only, nil
}

// tidyAsks forgets questions that ran out, and the devices that were approved and
// never came for their cookie.
func (i *Identity) tidyAsks(ctx context.Context) {
	now := i.cfg.Now()
	var unclaimed []*device
	i.asks.mu.Lock()
	for id, q := range i.asks.all {
		if !q.over(now) || q.taken {
			continue
		}
		delete(i.asks.all, id)
		if q.state == ApprovalApproved {
			unclaimed = append(unclaimed, q.device)
		}
	}
	i.asks.mu.Unlock()
	for _, d := range unclaimed {
		if err := i.forget(ctx, d); err != nil {
			i.cfg.Log.Error("could not forget a browser that was approved and did not come back", "error", err)
		}
	}
}

// forgetUnclaimed drops the devices that were approved before a restart and never
// came for their cookie, which they cannot any more.
func (i *Identity) forgetUnclaimed(ctx context.Context) error {
	i.mu.RLock()
	var unclaimed []*device
	for _, d := range i.devices {
		if len(d.sessions) == 0 && d.revoked.IsZero() && !d.hasTokens() {
			unclaimed = append(unclaimed, d)
		}
	}
	i.mu.RUnlock()
	for _, d := range unclaimed {
		if err := i.forget(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// forget drops a device that never had a session.
func (i *Identity) forget(ctx context.Context, d *device) error {
	i.writing.Lock()
	defer i.writing.Unlock()
	if i.devices[d.id] != d || len(d.sessions) > 0 || !d.revoked.IsZero() || d.hasTokens() {
		return nil
	}
	return i.change(ctx, func(tx *ledger.Tx) error {
		_, err := tx.Exec(`DELETE FROM devices WHERE id = $1`, d.id)
		return err
	}, func() { i.dropDevice(d) })
}
