package facts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawnFiles is a tree of files that may hold anything.
func drawnFiles(files map[string]string) *Drawn {
	d := &Drawn{all: map[string]*drawn{".": {info: Info{Mode: fs.ModeDir | 0o755}}}}
	for name, text := range files {
		name = strings.TrimPrefix(name, "/")
		d.all[name] = &drawn{info: Info{Mode: 0o644, Size: int64(len(text))}, text: text}
		for dir := path.Dir(name); d.all[dir] == nil; dir = path.Dir(dir) {
			d.all[dir] = &drawn{info: Info{Mode: fs.ModeDir | 0o755}}
		}
	}
	return d
}

func drawSudoers(r *rapid.T, includes ...string) string {
	choose := func(label string, all ...string) string { return rapid.SampledFrom(all).Draw(r, label) }
	list := func(label string, all ...string) string {
		items := rapid.SliceOfN(rapid.SampledFrom(all), 1, 3).Draw(r, label)
		for n := range items {
			items[n] = choose("not", "", "", "", "", "!", "!!", "! ") + items[n]
		}
		return strings.Join(items, choose("comma", ", ", ",", " , "))
	}
	users := []string{"olga", "eve", "%sudo", "%#27", "#1000", "+staff", "ADMINS", "GUESTS", "ALL", `"two words"`, "%:nix", "%:#77", "o\\,l", "olga@house", `"%two groups"`, "o-l.g_a$", "www-data"}
	hosts := []string{"ALL", "house", "HOSTS", "192.0.2.0/24", "192.0.2.1", "192.0.2.0/255.255.255.0", "2001:db8::1", "2001:db8::/32", "*.example", "+hosts", "house.example"}
	sum := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	commands := []string{"ALL", "/bin/ls", "/bin/sh -c x", "REBOOT", "VIEW", "/usr/bin/", "/bin/*", "sudoedit /etc/hosts", `/bin/a b\,c\:d\=e`, `/bin/none ""`, "list", sum + " /bin/ls", sum + ", " + sum + " /bin/ls -l", "sha224 : 0123 /bin/ls",
		`/bin/wi\ th`, `/bin/echo "a b"`, "/bin/x [a-z]*", `/bin/y a\\b`, "/bin/z  two   gaps", "^/bin/(a|b)$", "/bin/w ^[a-z]+$", "/bin/c a=b", "ALL /bin/x", "/bin/t a\tb", "/bin/dot.d/../x"}
	command := func() string {
		var b strings.Builder
		if rapid.IntRange(0, 3).Draw(r, "runas") == 0 {
			b.WriteString(choose("as", "(root)", "(ALL)", "(ALL:ALL)", "(www-data, !root)", "(:adm)", "()", "( %sudo : adm,staff )", "(#0)", "(ADMINS)", "(:)") + choose("gap", "", " "))
		}
		if rapid.IntRange(0, 5).Draw(r, "option") == 0 {
			b.WriteString(choose("what", "CWD=/tmp ", "TIMEOUT=5m ", "ROLE=a ", "CWD = /tmp ", "CHROOT=/ ", "NOTBEFORE=20260101000000Z ", "CWD=~ "))
		}
		for range max(0, rapid.IntRange(-2, 2).Draw(r, "tags")) {
			b.WriteString(choose("tag", "NOPASSWD", "PASSWD", "NOEXEC", "EXEC", "SETENV", "NOSETENV", "LOG_INPUT", "NOLOG_OUTPUT", "MAIL", "NOFOLLOW", "INTERCEPT", "nopasswd", "NOTAG") + choose("colon", ":", ": ", " :", " : "))
		}
		if c := choose("command", commands...); c[0] != 's' {
			b.WriteString(choose("not", "", "", "", "!", "! ", "!!") + c)
		} else {
			b.WriteString(c)
		}
		return b.String()
	}
	fold := func(line string) string {
		if at := strings.IndexByte(line, ' '); at > 0 && rapid.IntRange(0, 9).Draw(r, "fold") == 0 {
			line = line[:at] + choose("fold", " \\\n", " \\\n\t ") + line[at+1:]
		}
		return choose("indent", "", "", "", " ", "\t") + line + choose("end", "", "", "", " ", " # why", "#why", "\t# a \\", " \\\n ")
	}
	var lines []string
	for range rapid.IntRange(0, 6).Draw(r, "lines") {
		switch k := rapid.IntRange(0, 15).Draw(r, "kind"); {
		case k == 0:
			lines = append(lines, choose("odd", "# a remark", "#1000 ALL=ALL", "#x", "", "# folded \\", "olga", "olga ALL=", "olga ALL=NOPASSWD:", "olga ALL=bin/x", "Defaults", "Defaults use_pty,", "Defaults =x", "User_Alias admins = olga",
				"User_Alias A = ", "User_Alias A = olga,,eve", "olga ALL=ALL,", "olga ALL = ALL ALL", "<html>", "olga,ALL=ALL", "olga ALL=(root ALL", "%sudo ALL=(ALL) ALL :", "Defaults use_pty env_reset", `Defaults "use_pty"`, `olga ALL="/bin/x"`,
				"Cmnd_Alias X = Y,", "Cmd_Alias CMD = /bin/x", "Defaults:olga", "Defaults@house use_pty", "olga ALL=ALL:", "User_Alias ALL = olga", "Defaultsx use_pty", "olga  house , home=ALL", "olga house home=ALL", "=ALL",
				"@include", "olga ALL=/bin/e #5", "#include", "@includedir", "Host_Alias HOSTS = house : H2 = home", "User_Alias A = olga : ", "Defaults\tuse_pty", "Defaults !!use_pty", "Defaults ! use_pty", "Defaults env_keep += A B",
				"Defaults!ALL use_pty", "Defaults ! ALL use_pty", "Defaults: olga use_pty", "Defaults :olga use_pty", "Defaults>root use_pty", "olga ALL=ALL \\# x", "Runas_Alias R = root, #5 : S=%adm", "olga\\ b ALL=ALL", "\"olga\" ALL=ALL",
				"User_Alias A=olga", "User_Alias\tA = olga", "User_Alias A = \"x y\"", "olga ALL=(R) ALL", "#include nothing", "@include nothing", "@includedir nothing", "olga ALL=sha999:00 /bin/x", "olga ALL=!sha224:00 /bin/x"))
		case k <= 2 && len(includes) > 0:
			lines = append(lines, choose("sign", "#", "@", "@", " @", " #")+choose("include", "include ", "include\t")+choose("file", includes...)+choose("end", "", "", " ", " # why"))
		case k == 3 && len(includes) > 0:
			lines = append(lines, choose("sign", "#", "@", "@")+"includedir "+choose("dir", "d", "d/", "./d", `"d"`)+choose("end", "", "", " ", " # why"))
		case k <= 5:
			kind := choose("kind", "User", "Host", "Cmnd", "Runas")
			name, all := "ADMINS", users
			switch kind {
			case "User":
				name = choose("name", "ADMINS", "GUESTS")
			case "Host":
				name, all = "HOSTS", hosts
			case "Cmnd":
				name, all = choose("name", "REBOOT", "VIEW"), commands
			}
			line := kind + "_Alias " + name + choose("equals", " = ", "=", "\t=\t") + list("members", all...)
			if rapid.IntRange(0, 3).Draw(r, "second") == 0 {
				line += " : " + "SECOND" + kind[:1] + "_2 = " + list("members", all...)
			}
			lines = append(lines, fold(line))
		case k <= 8:
			var options []string
			for range rapid.IntRange(1, 3).Draw(r, "options") {
				options = append(options, choose("not", "", "", "!", "! ")+choose("flag", "use_pty", "env_reset", "rootpw", "authenticate", "lecture", "requiretty"), choose("value", "timestamp_timeout=5", "timestamp_timeout = -1", "passwd_tries=3",
					`secure_path="/usr/sbin:/usr/bin"`, "secure_path=/usr/sbin:/usr/bin", `env_keep += "A B"`, "env_keep-=C", `env_keep="A B"`, "logfile=/var/log/sudo.log", "lecture=always", `badpass_message="no, \"really\": a=b #1"`,
					`badpass_message=no\,\ really`, "badpass_message=a#b", "badpass_message = a # b", "!mailto", "mailto=a@b", `env_check+="%x"`, "umask=0077", "verifypw=all", "editor=/bin/a:/bin/b", "iolog_dir=/x/%{user}"))
			}
			scope := strings.ReplaceAll(choose("scope", "", "", "", ":"+list("users", users...), "@"+list("hosts", hosts...), ">"+list("users", users...), "!/usr/bin/less", "!REBOOT"), "! ", "!")
			line := "Defaults" + scope + choose("gap", " ", "\t") + strings.Join(options[rapid.IntRange(0, 1).Draw(r, "from"):], choose("comma", ", ", ",", " , "))
			if scope == "" {
				line = fold(line) // elsewhere than between some of its words sudo does not take it
			}
			lines = append(lines, line)
		default:
			line := list("users", users...) + " " + list("hosts", hosts...) + choose("equals", " = ", "=", "= ") + command()
			for range rapid.IntRange(0, 2).Draw(r, "more") {
				line += choose("comma", ", ", ",", " , ") + command()
			}
			if rapid.IntRange(0, 5).Draw(r, "second") == 0 {
				line += " : " + list("hosts", hosts...) + " = " + command()
			}
			lines = append(lines, fold(line))
		}
	}
	return strings.Join(lines, "\n") + choose("last", "\n", "\n", "")
}

// sudoItem is what cvtsudoers says of an item of a list, put as it is written.
func sudoItem(item map[string]any) string {
	not := ""
	if item["negated"] == true {
		not = "!"
	}
	for kind, sign := range map[string]string{"username": "", "userid": "#", "usergroup": "%", "usergid": "%#", "nonunixgroup": "%:", "nonunixgid": "%:#", "netgroup": "+", "useralias": "", "runasalias": "", "hostname": "",
		"networkaddr": "", "hostalias": "", "command": "", "cmndalias": ""} {
		if v, ok := item[kind]; ok {
			text := fmt.Sprint(v)
			if strings.Contains(kind, "command") {
				text = strings.Join(strings.Fields(text), " ")
			}
			return not + sign + text
		}
	}
	return fmt.Sprint(item)
}

func sudoItems(list []map[string]any) string {
	var all []string
	for _, item := range list {
		all = append(all, sudoItem(item))
	}
	return strings.Join(all, ",")
}

// sudoSaid is what cvtsudoers says, a line for each thing.
func sudoSaid(r *rapid.T, text []byte) []string {
	// Its JSON has a slip in it.
	text = regexp.MustCompile(`(?m)^(\s*)("(?:runcwd|runchroot)": "[^"]*")(,?)$`).ReplaceAll(text, []byte("$1{$2}$3"))
	var real struct {
		Defaults []struct {
			Binding []map[string]any
			Options []map[string]any
		}
		UserAliases  map[string][]map[string]any `json:"User_Aliases"`
		RunasAliases map[string][]map[string]any `json:"Runas_Aliases"`
		HostAliases  map[string][]map[string]any `json:"Host_Aliases"`
		CmndAliases  map[string][]map[string]any `json:"Command_Aliases"`
		UserSpecs    []struct {
			Users []map[string]any `json:"User_List"`
			Hosts []map[string]any `json:"Host_List"`
			Specs []struct {
				Runas    []map[string]any `json:"runasusers"`
				Groups   []map[string]any `json:"runasgroups"`
				Options  []map[string]any
				Commands []map[string]any
			} `json:"Cmnd_Specs"`
		} `json:"User_Specs"`
	}
	if err := json.Unmarshal(text, &real); err != nil && len(text) > 0 {
		r.Fatalf("%v\n%s", err, text)
	}
	var said []string
	for _, d := range real.Defaults {
		for _, o := range d.Options {
			op := o["operation"]
			delete(o, "operation")
			for name, value := range o {
				if list, ok := value.([]any); ok {
					var words []string
					for _, w := range list {
						words = append(words, fmt.Sprint(w))
					}
					value = strings.Join(words, " ")
				}
				if op == nil || op == "list_assign" {
					op = "="
				}
				if _, flag := value.(bool); flag {
					op = ""
				}
				said = append(said, fmt.Sprintf("Defaults(%s) %s %v %v", sudoItems(d.Binding), name, map[any]string{"list_add": "+=", "list_remove": "-=", "=": "=", "": ""}[op], value))
			}
		}
	}
	for kind, aliases := range map[string]map[string][]map[string]any{"User": real.UserAliases, "Runas": real.RunasAliases, "Host": real.HostAliases, "Cmnd": real.CmndAliases} {
		for name, members := range aliases {
			said = append(said, fmt.Sprintf("%s_Alias %s = %s", kind, name, sudoItems(members)))
		}
	}
	for _, u := range real.UserSpecs {
		for _, spec := range u.Specs {
			runAs := "root"
			if len(spec.Runas) > 0 || len(spec.Groups) > 0 {
				runAs = "(" + sudoItems(spec.Runas) + ")"
			}
			var tags []string
			for _, o := range spec.Options {
				for name, on := range o {
					if tag, ok := map[string]string{"authenticate": "PASSWD", "noexec": "EXEC", "log_input": "LOG_INPUT", "log_output": "LOG_OUTPUT", "send_mail": "MAIL", "sudoedit_follow": "FOLLOW", "intercept": "INTERCEPT"}[name]; ok {
						if (on == true) == (name == "noexec") {
							tag = "NO" + tag
						}
						tags = append(tags, tag)
					}
				}
			}
			slices.Sort(tags)
			for _, c := range spec.Commands {
				said = append(said, fmt.Sprintf("%s %s = %s %s %s", sudoItems(u.Users), sudoItems(u.Hosts), runAs, strings.Join(tags, " "), sudoItem(c)))
			}
		}
	}
	slices.Sort(said)
	return said
}

// sudoRead is what we read, in the same lines.
func sudoRead(s Sudoers) []string {
	var all []string
	for _, d := range s.Defaults {
		value := d.Value
		switch {
		case d.Op == "":
			value = fmt.Sprint(!d.Negated)
		case strings.HasPrefix(d.Name, "env_"):
			value = strings.Join(strings.Fields(value), " ")
		}
		all = append(all, fmt.Sprintf("Defaults(%s) %s %s %s", strings.Join(d.For, ","), d.Name, d.Op, value))
	}
	last := map[string]string{}
	for _, a := range s.Aliases {
		var members []string
		for _, m := range a.Members {
			if a.Kind == "Cmnd" {
				m = sudoUnescaped(m)
			}
			members = append(members, m)
		}
		last[a.Kind+"_Alias "+a.Name] = strings.Join(members, ",")
	}
	for name, members := range last {
		all = append(all, name+" = "+members)
	}
	for _, rule := range s.Rules {
		for _, c := range rule.Commands {
			runAs := "root"
			if c.RunAs != nil {
				runAs = "(" + strings.Join(c.RunAs, ",") + ")"
			}
			tags := slices.DeleteFunc(slices.Clone(c.Tags), func(tag string) bool { return strings.HasSuffix(tag, "SETENV") })
			slices.Sort(tags)
			all = append(all, fmt.Sprintf("%s %s = %s %s %s", strings.Join(rule.Users, ","), strings.Join(rule.Hosts, ","), runAs, strings.Join(tags, " "), sudoUnescaped(c.Command)))
		}
	}
	slices.Sort(all)
	return all
}

func sudoUnescaped(command string) string {
	return strings.NewReplacer(`\\`, `\`, `\ `, " ", `\,`, ",", `\:`, ":", `\=`, "=", `\#`, "#").Replace(command)
}

// We read of sudo's files what the real sudo reads, and refuse what it refuses.
func TestSudoersAgrees(t *testing.T) {
	cvt := realProgram(t, "sudo", "/usr/bin/cvtsudoers")
	visudo := realProgram(t, "sudo", "/usr/sbin/visudo", "/usr/bin/visudo")
	root := t.TempDir()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ = strings.Cut(host, ".")
	agreed, refused, runs := 0, 0, 0
	runRapid(t, *realRuns, func(r *rapid.T) {
		runs++
		if err := os.RemoveAll(filepath.Join(root, "etc")); err != nil {
			r.Fatal(err)
		}
		files := map[string]string{"sudoers": drawSudoers(r, "one", root+"/etc/one", "d/20-b", `"one"`, "host-%h"), "one": drawSudoers(r, "d/10-a"), "host-" + host: drawSudoers(r)}
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"10-a", "20-b", "C", "a.b", "old~", ".hidden", "z"}), 0, 4, func(s string) string { return s }).Draw(r, "names") {
			files["d/"+name] = drawSudoers(r)
		}
		drawn := map[string]string{"etc/hostname": host + "\n"}
		var show strings.Builder
		for name, text := range files {
			drawn["etc/"+name], drawn[root+"/etc/"+name] = text, text
			full := filepath.Join(root, "etc", name)
			if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
				r.Fatal(err)
			}
			if err := os.WriteFile(full, []byte(text), 0o440); err != nil {
				r.Fatal(err)
			}
			fmt.Fprintf(&show, "-- %s --\n%s\n", name, text)
		}
		main := filepath.Join(root, "etc/sudoers")
		wrong, failed := exec.Command(visudo, "-c", "-f", main).CombinedOutput()
		if bytes.Contains(wrong, []byte("cycle in ")) {
			failed = nil // it is said by visudo alone
		}
		s, err := (&Host{Tree: drawnFiles(drawn)}).Sudoers()
		if (failed != nil) != (err != nil) {
			r.Fatalf("visudo: %v %s\nwe: %v\n%s", failed, wrong, err, show.String())
		}
		if err != nil {
			refused++
			return
		}
		c := exec.Command(cvt, "-c", "", "-f", "json", main)
		var stderr bytes.Buffer
		c.Stderr = &stderr
		out, err := c.Output()
		if err != nil {
			r.Fatalf("%v %s\n%s", err, stderr.String(), show.String())
		}
		got, want := sudoRead(s), sudoSaid(r, out)
		if !slices.Equal(got, want) {
			r.Fatalf("we read\n%s\nsudo\n%s\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"), show.String())
		}
		agreed += len(got)
	})
	t.Logf("%d configurations: %d lines agree, %d configurations refused by both", runs, agreed, refused)
	if agreed < runs/4 {
		t.Errorf("only %d lines were compared in %d configurations", agreed, runs)
	}
}
