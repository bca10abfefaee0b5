package facts

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

// A stack is what its files make of it, and a line that nothing comes to is known.
func TestPAM(t *testing.T) {
	for name, c := range map[string]struct{ drawing, want string }{
		"debian": {`-- etc/pam.d/svc --
@include common-auth
account required pam_unix.so
-- etc/pam.d/common-auth --
auth	[success=1 default=ignore]	pam_unix.so nullok
auth	requisite			pam_deny.so
auth	required			pam_permit.so
`, "auth pam_unix.so+ auth pam_deny.so+ auth pam_permit.so+ account pam_unix.so+"},
		"after what always refuses": {`-- etc/pam.d/svc --
auth requisite pam_deny.so
auth required pam_unix.so
`, "auth pam_deny.so+ auth pam_unix.so-"},
		"after what always lets in": {`-- etc/pam.d/svc --
auth sufficient pam_permit.so
auth required pam_unix.so
`, "auth pam_permit.so+ auth pam_unix.so-"},
		"jumped over": {`-- etc/pam.d/svc --
auth [default=2] pam_echo.so
auth required pam_a.so
session required pam_s.so
auth required pam_b.so
auth required pam_c.so
`, "auth pam_echo.so+ auth pam_a.so- session pam_s.so+ auth pam_b.so- auth pam_c.so+"},
		"include takes one type": {`-- etc/pam.d/svc --
auth include both
-- etc/pam.d/both --
auth required pam_a.so
session required pam_s.so
`, "auth pam_a.so+"},
		"done in a substack leaves that only": {`-- etc/pam.d/svc --
auth substack sub
auth required pam_after.so
-- etc/pam.d/sub --
auth sufficient pam_permit.so
auth required pam_inner.so
`, "auth + auth pam_permit.so+ auth pam_inner.so- auth pam_after.so+"},
		"a jump counts a substack once": {`-- etc/pam.d/svc --
auth [default=1] pam_a.so
auth substack sub
auth required pam_after.so
-- etc/pam.d/sub --
auth required pam_x.so
auth required pam_y.so
`, "auth pam_a.so+ auth - auth pam_x.so- auth pam_y.so- auth pam_after.so+"},
		"other": {`-- etc/pam.d/other --
-auth optional /lib/security/pam_a.so [quoted arg] \
  more
`, "auth pam_a.so+"},
		"after a failure sufficient is not": {`-- etc/pam.d/svc --
auth required pam_a.so
auth sufficient pam_permit.so
auth required pam_b.so
`, "auth pam_a.so+ auth pam_permit.so+ auth pam_b.so+"},
		"done that is reset": {`-- etc/pam.d/svc --
auth requisite pam_a.so
auth [default=reset] pam_b.so
auth sufficient pam_permit.so
auth required pam_c.so
`, "auth pam_a.so+ auth pam_b.so+ auth pam_permit.so+ auth pam_c.so-"},
		"other for what is not said": {`-- etc/pam.d/svc --
@include none-of-it # why
-- etc/pam.d/none-of-it --
auth required pam_a.so
-- etc/pam.d/other --
auth required pam_deny.so
account required pam_deny.so
`, "auth pam_a.so+ account pam_deny.so+"},
		"the vendor's": {`-- usr/lib/pam.d/svc --
auth required pam_a.so
-- etc/pam.d/other --
auth required pam_deny.so
`, "auth pam_a.so+"},
	} {
		stack, err := hostOf(t, c.drawing).PAM("svc")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, l := range stack {
			got = append(got, fmt.Sprintf("%s %s%s", l.Type, l.Module, map[bool]string{true: "+", false: "-"}[l.Reached]))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %s, want %s", name, strings.Join(got, " "), c.want)
		}
		if name == "other" && (!slices.Equal(stack[0].Args, []string{"quoted arg", "more"}) || stack[0].Line != 1) {
			t.Errorf("%+v", stack[0])
		}
	}
	for want, drawing := range map[string]string{
		"/etc/pam.d/svc:1: not a line of a PAM stack":             "-- etc/pam.d/svc --\nauth required\n",
		`/etc/pam.d/svc:2: "authority" is no type of a PAM stack`: "-- etc/pam.d/svc --\n\nauthority required pam_a.so\n",
		`/etc/pam.d/svc:1: control "must" is not known`:           "-- etc/pam.d/svc --\nauth must pam_a.so\n",
		`/etc/pam.d/svc:1: control "[success]" cannot be read`:    "-- etc/pam.d/svc --\nauth [success] pam_a.so\n",
		`/etc/pam.d/svc:1: control "[success=0]" cannot be read`:  "-- etc/pam.d/svc --\nauth [success=0] pam_a.so\n",
		`/etc/pam.d/svc:1: control "[succes=ok]" cannot be read`:  "-- etc/pam.d/svc --\nauth [succes=ok] pam_a.so\n",
	} {
		if _, err := hostOf(t, drawing).PAM("svc"); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func FuzzPAM(f *testing.F) {
	f.Add("@include svc\nauth [success=1 default=ignore] pam_unix.so nullok\nauth substack two\n", "auth sufficient pam_permit.so\n")
	f.Add("auth [default=99999999999] pam_a.so\\\n", "auth include two\n")
	f.Fuzz(func(t *testing.T, one, two string) {
		tree := &Drawn{all: map[string]*drawn{
			".": {info: Info{Mode: fs.ModeDir}}, "etc": {info: Info{Mode: fs.ModeDir}}, "etc/pam.d": {info: Info{Mode: fs.ModeDir}}, "etc/security": {info: Info{Mode: fs.ModeDir}},
			"etc/pam.d/svc": {text: one}, "etc/pam.d/two": {text: two}, "etc/security/pwquality.conf": {text: one},
		}}
		h := &Host{Tree: tree}
		stack, err := h.PAM("svc")
		if err == nil && len(stack) > maxPAMLines {
			t.Errorf("%d lines", len(stack))
		}
		_, _ = h.PAMSettings("pwquality")
	})
}
