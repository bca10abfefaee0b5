package gateway

// filtered asks the owner's rules for addresses. known is whether a known device asks, or
// may turn out to: an app shows only in its socket who it is, and is asked again then.
func (f *flight) filtered(known bool) *refusal {
	if f.gw.Filtered == nil {
		return nil
	}
	if why, denied := f.gw.Filtered(f.addr, f.door.Name(), f.route, known); denied {
		return &refusal{why: why}
	}
	return nil
}
