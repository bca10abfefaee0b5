package facts

import (
	"errors"
	"io/fs"
	"slices"
	"testing"
	"time"
)

func hostOf(t testing.TB, drawing string) *Host {
	t.Helper()
	tree, err := Draw(drawing)
	if err != nil {
		t.Fatal(err)
	}
	return &Host{Tree: tree, Root: true, Now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)}
}

func TestParsePassword(t *testing.T) {
	for field, want := range map[string]Password{
		"":                                {Kind: PasswordEmpty},
		"!":                               {Kind: PasswordNone, Locked: true},
		"*":                               {Kind: PasswordNone},
		"!*":                              {Kind: PasswordNone, Locked: true},
		"!!":                              {Kind: PasswordNone, Locked: true},
		"x":                               {Kind: PasswordNone},
		"$y$j9T$salt$hash":                {Kind: PasswordYescrypt},
		"$gy$j9T$salt$hash":               {Kind: PasswordYescrypt},
		"!$y$j9T$salt$hash":               {Kind: PasswordYescrypt, Locked: true},
		"$7$CU..../....salt$hash":         {Kind: PasswordScrypt},
		"$2b$12$hash":                     {Kind: PasswordBcrypt},
		"$6$salt$hash":                    {Kind: PasswordSHA512, Rounds: 5000},
		"$6$rounds=1000$salt$hash":        {Kind: PasswordSHA512, Rounds: 1000},
		"$5$rounds=99999999999999999999$": {Kind: PasswordSHA256, Rounds: 5000},
		"$sha1$40000$salt$hash":           {Kind: PasswordSHA1},
		"$1$salt$hash":                    {Kind: PasswordMD5},
		"$md5,rounds=1$salt$hash":         {Kind: PasswordMD5},
		"$3$$hash":                        {Kind: PasswordNT},
		"abcdefghijklm":                   {Kind: PasswordDES},
		"_J9..saltabcdefghijk":            {Kind: PasswordDES},
		"$":                               {Kind: PasswordNone},
		"$6":                              {Kind: PasswordNone},
	} {
		if got := ParsePassword(field); got != want {
			t.Errorf("%q: %+v, want %+v", field, got, want)
		}
	}
}

func TestAccountFiles(t *testing.T) {
	h := hostOf(t, `-- etc/group --
# a remark
root:x:0:
sudo:x:27:olga,eve
+:::
-- etc/gshadow --
sudo:!:olga:eve,
-- etc/shadow --
olga:$y$j9T$s$h:20000:0:99999:7::20500:
-- etc/login.defs --
UMASK 022
 UMASK	027
# UMASK 077
LONELY
-- etc/default/useradd --
SHELL=/bin/sh
INACTIVE = 30 # days
`)
	groups, err := h.Groups()
	if err != nil || len(groups) != 2 || groups[1].Line != 3 || !slices.Equal(groups[1].Members, []string{"olga", "eve"}) {
		t.Errorf("groups: %+v, %v", groups, err)
	}
	in := GroupsOf(User{Name: "olga", GID: 0}, groups)
	if len(in) != 2 {
		t.Errorf("olga is in %+v", in)
	}
	more, err := h.GroupShadows()
	if err != nil || len(more) != 1 || !slices.Equal(more[0].Members, []string{"eve"}) || !slices.Equal(more[0].Admins, []string{"olga"}) {
		t.Errorf("gshadow: %+v, %v", more, err)
	}
	shadows, err := h.Shadow()
	if err != nil || len(shadows) != 1 || shadows[0].Expire != 20500 || shadows[0].Inactive != -1 || !shadows[0].Expired(h.Now) {
		t.Errorf("shadow: %+v, %v", shadows, err)
	}
	defs, err := h.LoginDefs()
	if err != nil || len(defs) != 1 || defs["UMASK"] != (Setting{"027", "/etc/login.defs", 2}) {
		t.Errorf("login.defs: %+v, %v", defs, err)
	}
	defaults, err := h.UseraddDefaults()
	if err != nil || defaults["INACTIVE"] != (Setting{"30", "/etc/default/useradd", 2}) {
		t.Errorf("useradd: %+v, %v", defaults, err)
	}
	for name, drawing := range map[string]string{
		"/etc/shadow:1: not an account's line":   "-- etc/shadow --\nolga:x\n",
		"/etc/shadow:1: field 3 is not a number": "-- etc/shadow --\nolga:x:a::::::\n",
		"/etc/shadow: no accounts":               "-- etc/shadow --\n",
	} {
		if _, err := hostOf(t, drawing).Shadow(); err == nil || err.Error() != name {
			t.Errorf("%v, want %s", err, name)
		}
	}
}

// A record of lastlog is 292 bytes; zero is never, and a half one is nobody's.
func TestLastLogins(t *testing.T) {
	data := make([]byte, 292*3+100)
	copy(data[292*2:], []byte{0x00, 0xf1, 0x53, 0x65}) // 2023-11-14
	h := hostOf(t, "-- var/log/lastlog --\n"+string(data))
	all, err := h.LastLogins()
	if err != nil || len(all) != 1 || all[2].Unix() != 0x6553f100 {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := hostOf(t, "-- var/lib/lastlog/lastlog2.db --\nx\n").LastLogins(); !errors.Is(err, ErrLastlogDatabase) {
		t.Errorf("%v", err)
	}
	if _, err := hostOf(t, "").LastLogins(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func FuzzAccounts(f *testing.F) {
	f.Add("olga:$6$rounds=1$s$h:20000:0:99999:7:::\n")
	f.Add("sudo:x:27:olga,eve\n")
	f.Add("UID_MIN 1000\nINACTIVE=\"x\n")
	f.Fuzz(func(t *testing.T, text string) {
		tree := &Drawn{all: map[string]*drawn{}}
		for _, name := range []string{"etc/shadow", "etc/group", "etc/gshadow", "etc/login.defs", "etc/default/useradd"} {
			tree.all[name] = &drawn{text: text}
		}
		for _, dir := range []string{".", "etc", "etc/default"} {
			tree.all[dir] = &drawn{info: Info{Mode: fs.ModeDir | 0o755}}
		}
		h := &Host{Tree: tree}
		shadows, err := h.Shadow()
		if err == nil && len(shadows) == 0 {
			t.Error("nothing, and no error")
		}
		for _, s := range shadows {
			if p := ParsePassword(s.Hash); p.Kind == "" {
				t.Errorf("%q is of no kind", s.Hash)
			}
		}
		if groups, err := h.Groups(); err == nil && len(groups) == 0 {
			t.Error("nothing, and no error")
		}
		_, _ = h.GroupShadows()
		_, _ = h.LoginDefs()
		_, _ = h.UseraddDefaults()
		_, _ = h.UIDMin()
	})
}
