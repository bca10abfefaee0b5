package checks

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

// wanted is a setting of the kernel and what it should be.
type wanted struct {
	key  string
	ok   func(value int) bool
	must bool // a kernel without the setting is one without the protection
}

func exactly(v int) func(int) bool { return func(n int) bool { return n == v } }
func atLeast(v int) func(int) bool { return func(n int) bool { return n >= v } }

// sysctlAt shows where a setting's value comes from.
func sysctlAt(s facts.Sysctl) finding.Evidence {
	if s.Explicit && (!s.Live || s.Written == s.Value) {
		return audit.At(s.File, s.Line, s.Key+" = "+s.Value)
	}
	if s.Live {
		return audit.At("/proc/sys/"+s.Key, 0, s.Value)
	}
	return audit.At("/proc/sys/"+s.Key, 0, s.Value+" (the kernel's default)")
}

// sysctlNumber reads a number as the kernel does: 0x01b6 and 0666 are numbers, too.
func sysctlNumber(text string) (int, error) {
	n, err := strconv.ParseInt(text, 0, 64)
	return int(n), err
}

// judgeSysctls judges settings of the kernel; all of them have to be as they are wanted.
func judgeSysctls(h *facts.Host, all ...wanted) audit.Verdict {
	var values []string
	var bad []finding.Evidence
	explicit, seen := false, 0
	var unknown error
	for _, w := range all {
		s, err := h.Sysctl(w.key)
		switch {
		case err != nil:
			unknown = err
			continue
		case !s.Known && h.Live && w.must:
			seen++
			values = append(values, w.key+" is not there")
			bad = append(bad, audit.At("/proc/sys/"+s.Key, 0, "this kernel has no such setting"))
			continue
		case !s.Known && h.Live:
			continue
		case !s.Known:
			unknown = fmt.Errorf("nothing sets %s, and what this kernel does by itself is not known", w.key)
			continue
		}
		seen++
		explicit = explicit || s.Explicit
		values = append(values, w.key+"="+s.Value)
		n, err := sysctlNumber(s.Value)
		if err != nil {
			unknown = fmt.Errorf("%s: %q is not a number", s.Key, s.Value)
			continue
		}
		if !w.ok(n) {
			bad = append(bad, sysctlAt(s))
		}
	}
	var effective any = values
	if len(all) == 1 && len(values) == 1 {
		_, effective, _ = strings.Cut(values[0], "=")
	}
	switch {
	case len(bad) > 0:
		return audit.Fail(effective, bad...).Explicitly(explicit)
	case unknown != nil:
		return audit.Unknown(unknown)
	case seen == 0:
		return audit.NotApplicable("this kernel has no such setting")
	}
	return audit.Pass(effective).Explicitly(explicit)
}

// perInterface judges a setting that every interface has, by what comes of it and "all".
func perInterface(h *facts.Host, dir, name string, both func(all, own int) int, ok func(int) bool) (values []string, bad []finding.Evidence, explicit bool, err error) {
	interfaces, err := h.SysctlInterfaces(dir)
	if err != nil {
		return nil, nil, false, err
	}
	if len(interfaces) == 0 {
		return nil, nil, false, nil // IPv6 is not there, say
	}
	number := func(s facts.Sysctl) (int, error) {
		if !s.Known {
			return 0, fmt.Errorf("%s: not known", s.Key)
		}
		return sysctlNumber(s.Value)
	}
	all, err := h.Sysctl(dir + "/all/" + name)
	if err != nil {
		return nil, nil, false, err
	}
	a, err := number(all)
	if err != nil {
		return nil, nil, false, err
	}
	for _, i := range interfaces {
		own, err := h.Sysctl(dir + "/" + i + "/" + name)
		if err != nil {
			return nil, nil, false, err
		}
		if !own.Known && h.Live {
			continue // it went away meanwhile
		}
		o, err := number(own)
		if err != nil {
			return nil, nil, false, err
		}
		explicit = explicit || own.Explicit || all.Explicit
		v := both(a, o)
		if values = append(values, i+"."+name+"="+strconv.Itoa(v)); !ok(v) {
			if !ok(o) {
				bad = append(bad, sysctlAt(own))
			}
			if !ok(a) && (len(bad) == 0 || bad[0].File != sysctlAt(all).File || bad[0].Line != sysctlAt(all).Line) {
				bad = append([]finding.Evidence{sysctlAt(all)}, bad...)
			}
		}
	}
	slices.SortFunc(bad, func(a, b finding.Evidence) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Value, b.Value))
	})
	return values, slices.Compact(bad), explicit, nil
}

// either, bothOf and ownOnly are how the kernel combines an interface's value with "all".
func either(a, o int) int  { return max(a, o) }
func bothOf(a, o int) int  { return min(a, o) }
func ownOnly(_, o int) int { return o }
