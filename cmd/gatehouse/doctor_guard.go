package main

import (
	"context"
	"fmt"
	"strings"

	"gatehouse/internal/ha/client"
)

// What the doctor says of the guard, and of Home Assistant's own bans.

// examineGuard looks whether the guard can do what it is for.
func (h *house) examineGuard() []diagnosis {
	kept := diagnosis{ID: "guard-kept", Title: "Bans are written down", Result: good}
	if since, err := h.kept.trouble(); err != nil {
		kept.Result, kept.Detail = bad, fmt.Sprintf("not since %s: %v", stamp(since), err)
		kept.Hint = asProblem(err).hint
	}
	s := h.guard.Status()
	addrs := diagnosis{ID: "guard-addresses", Title: "Visitors come from addresses of their own, which can be banned", Result: good, Detail: count(s.Bans, "ban", "bans")}
	if len(s.Shared) > 0 {
		var words []string
		for _, x := range s.Shared {
			words = append(words, fmt.Sprintf("%s is never banned: %s", x.Addr, x.Why))
		}
		addrs.Result, addrs.Detail = bad, strings.Join(words, "; ")
		addrs.Hint = "have the proxy in between say who comes: proxy_protocol or trusted_proxies of the door; a container wants the host's network (network_mode: host)"
	}
	wary := diagnosis{ID: "guard-quiet", Title: "No more fails than usual", Result: good}
	if !s.Wary.IsZero() {
		wary.Result, wary.Detail = bad, fmt.Sprintf("%d failures within %s, from all over: strangers are met warily until %s", s.Failures, lasting(int64(s.Window)), stamp(s.Wary))
		wary.Hint = `known devices notice nothing; "gatehouse guard status" shows who is banned`
	}
	return []diagnosis{kept, addrs, wary}
}

// hintOwnBan is what to do where Home Assistant has banned the gateway.
const hintOwnBan = `run "gatehouse fix hahttp.ip-bans-file" as root: it takes the address out of ip_bans.yaml, and Home Assistant has to be restarted`

// examineOwnBan looks whether Home Assistant has banned the gateway itself. It answers now;
// what its file says counts from its next start on.
func examineOwnBan(bans homeBans) diagnosis {
	d := diagnosis{ID: "ha-ban", Title: "Home Assistant has not banned this gateway", Result: good}
	if len(bans.Ours) > 0 {
		d.Result, d.Detail, d.Hint = bad, "ip_bans.yaml has "+strings.Join(bans.Ours, ", ")+", which is this machine", hintOwnBan
		return d
	}
	if remark := bans.remark(); remark != "" {
		d.Detail = remark
	}
	return d
}

// examineSecondLine looks whether Home Assistant's own ban comes after the guard's. trust is
// what was found of whether it sees who comes.
func (h *house) examineSecondLine(ctx context.Context, ha *client.Client, version string, trust diagnosis, bans homeBans) diagnosis {
	d := diagnosis{ID: "ha-second-line", Title: "Home Assistant bans nobody before the guard does", Result: good}
	b := bans.Banning
	if live, ok := h.banningNow(ctx, ha, version); ok {
		b = live
	}
	d.Detail = "it bans " + b.words()
	threshold := h.cfg.Guard.Threshold
	switch {
	case !b.Known:
		d.Result, d.Detail = unknown, "after how many wrong passwords it bans cannot be read"
		if bans.Unread != "" {
			d.Detail += ": " + bans.Unread
		}
		d.Hint = "run this as root, with home.ha_dir set"
	case !b.Enabled || b.Attempts < 1:
		d.Detail = "it never bans"
		d.Hint = `as a second line behind the guard it could, after 10 wrong passwords: "gatehouse close" sets that, or "gatehouse fix hahttp.ban"`
	case trust.Result == bad:
		d.Result, d.Detail = bad, fmt.Sprintf("it does not see who comes, and bans this gateway %s of anybody", b.words())
		d.Hint = `"gatehouse setup" has it trust this gateway; or "gatehouse fix hahttp.xff"`
	case b.Attempts <= threshold && b.Attempts < secondLineAt:
		d.Result, d.Detail = bad, fmt.Sprintf("it bans %s, for good; the guard after %d, for a while: whoever of the house mistypes is out for good", b.words(), threshold)
		d.Hint = `set login_attempts_threshold to 10 in Home Assistant; "gatehouse close" does so`
	}
	return d
}

// banningNow is how Home Assistant bans, as it says itself since 2026.8.
func (h *house) banningNow(ctx context.Context, ha *client.Client, version string) (banning, bool) {
	token, ok, err := loadHAToken(ctx, h.ledger)
	if err != nil || !ok || !hasHTTPConfig(version) {
		return banning{}, false
	}
	now, err := ha.WithToken(token).HTTPConfig(ctx)
	if err != nil {
		return banning{}, false
	}
	return banningOf(now.Running()), true
}
