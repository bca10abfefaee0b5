package facts

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// sshdOption is what sshd knows of a keyword.
type sshdOption struct {
	name    string // the present one
	kind    string
	choices []string
	match   bool // it may stand in a Match block
	since   SSHRelease
	def     string
}

// sshdTable is sshd's keywords: name, kind, whether it may stand in a Match block, the
// default. Kinds: flag, int, time and choice=A|B are one word; one is any one word; first
// is the words of the first line, words those of all lines; text is the rest of the line.
const sshdTable = `
port                            words  - 22
listenaddress                   words  -
addressfamily                   choice=any|inet|inet6 - any
hostkey                         words  -
hostcertificate                 words  -
hostkeyagent                    one    - none
pidfile                         one    -
modulifile                      one    - /etc/ssh/moduli
logingracetime                  time   - 120
usepam                          flag   - no
usedns                          flag   - no
printmotd                       flag   - yes
printlastlog                    flag   - yes
ignorerhosts                    choice=yes|no|shosts-only m yes
ignoreuserknownhosts            flag   - no
x11forwarding                   flag   m no
x11displayoffset                int    m 10
x11uselocalhost                 flag   m yes
xauthlocation                   one    -
strictmodes                     flag   - yes
permitemptypasswords            flag   m no
permituserenvironment           one    - no
permituserrc                    flag   m yes
compression                     choice=delayed|yes|no - delayed
rekeylimit                      first  m
tcpkeepalive                    flag   - yes
allowtcpforwarding              choice=yes|all|no|remote|local m yes
allowagentforwarding            flag   m yes
allowstreamlocalforwarding      choice=yes|all|no|remote|local m yes
allowusers                      words  m
denyusers                       words  m
allowgroups                     words  m
denygroups                      words  m
ciphers                         algorithms -
macs                            algorithms -
kexalgorithms                   algorithms -
hostkeyalgorithms               algorithms -
pubkeyacceptedalgorithms        algorithms m
hostbasedacceptedalgorithms     algorithms m
casignaturealgorithms           algorithms m
gatewayports                    choice=no|yes|clientspecified m no
subsystem                       words  -
maxstartups                     startups - 10:30:100
persourcemaxstartups            one    - none
persourcenetblocksize           one    - 32:128
persourcepenalties              words  - yes
persourcepenaltyexemptlist      one    - none
maxauthtries                    int    m 6
maxsessions                     int    m 10
banner                          one    m none
clientaliveinterval             time   m 0
clientalivecountmax             int    m 3
authorizedkeysfile              first  m .ssh/authorized_keys .ssh/authorized_keys2
authorizedkeyscommand           text   m none
authorizedkeyscommanduser       one    m none
authorizedprincipalsfile        one    m none
authorizedprincipalscommand     text   m none
authorizedprincipalscommanduser one    m none
authenticationmethods           first  m any
acceptenv                       words  m
setenv                          first  m
permittunnel                    choice=no|yes|point-to-point|ethernet m no
permittty                       flag   m yes
permitopen                      first  m any
permitlisten                    first  m any
forcecommand                    text   m none
chrootdirectory                 one    m none
revokedkeys                     one    m none
trustedusercakeys               one    m none
ipqos                           first  m
versionaddendum                 text   - none
streamlocalbindmask             one    m 0177
streamlocalbindunlink           flag   m no
fingerprinthash                 one    - SHA256
disableforwarding               flag   m no
exposeauthinfo                  flag   m no
rdomain                         one    m none
securitykeyprovider             one    -
requiredrsasize                 int    m 1024
channeltimeout                  first  m
unusedconnectiontimeout         one    m
permitrootlogin                 choice=prohibit-password|without-password|forced-commands-only|yes|no m prohibit-password
syslogfacility                  one    - AUTH
loglevel                        choice=QUIET|FATAL|ERROR|INFO|VERBOSE|DEBUG|DEBUG1|DEBUG2|DEBUG3 m INFO
logverbose                      first  m
hostbasedauthentication         flag   m no
hostbasedusesnamefrompacketonly flag   m no
pubkeyauthentication            flag   m yes
pubkeyauthoptions               first  m none
passwordauthentication          flag   m yes
kbdinteractiveauthentication    flag   m yes
kerberosauthentication          flag   m no
kerberosorlocalpasswd           flag   - yes
kerberosticketcleanup           flag   - yes
kerberosgetafstoken             flag   - no
gssapiauthentication            flag   m no
gssapicleanupcredentials        flag   - yes
gssapistrictacceptorcheck       flag   - yes
gssapikeyexchange               flag   - no
gssapistorecredentialsonrekey   flag   - no
gssapidelegatecredentials       flag   m no
gssapienablek5users             flag   m no
gssapikexalgorithms             one    -
debianbanner                    flag   - yes
refuseconnection                flag   m no
sshdsessionpath                 one    -
sshdauthpath                    one    -
include                         include m
match                           match  m
protocol                        ignore -
rsaauthentication               ignore m
rhostsrsaauthentication         ignore m
keyregenerationinterval         ignore -
serverkeybits                   ignore -
useprivilegeseparation          ignore -
uselogin                        ignore -
authorizedkeysfile2             ignore m
checkmail                       ignore -
pamauthenticationviakbdint      ignore -
rhostsauthentication            ignore -
reversemappingcheck             ignore -
showpatchlevel                  ignore -
kerberostgtpassing              ignore -
afstokenpassing                 ignore -
`

// sshdNames are keywords by which others go, or went.
const sshdNames = `
challengeresponseauthentication kbdinteractiveauthentication
skeyauthentication              kbdinteractiveauthentication
dsaauthentication               pubkeyauthentication
pubkeyacceptedkeytypes          pubkeyacceptedalgorithms
hostbasedacceptedkeytypes       hostbasedacceptedalgorithms
keepalive                       tcpkeepalive
verifyreversemapping            usedns
rsaminsize                      requiredrsasize
`

// sshdSince are the releases with which younger keywords came.
const sshdSince = `
persourcemaxstartups 8.5
persourcenetblocksize 8.5
logverbose 8.5
modulifile 8.6
requiredrsasize 9.1
channeltimeout 9.2
unusedconnectiontimeout 9.2
persourcepenalties 9.8
persourcepenaltyexemptlist 9.8
sshdsessionpath 9.8
refuseconnection 9.9
sshdauthpath 10.0
`

func sshdOptions() map[string]sshdOption {
	all := map[string]sshdOption{}
	for line := range strings.Lines(sshdTable) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		kind, choices, _ := strings.Cut(f[1], "=")
		o := sshdOption{name: f[0], kind: kind, match: f[2] == "m", def: strings.Join(f[3:], " ")}
		if choices != "" {
			o.choices = strings.Split(choices, "|")
		}
		all[f[0]] = o
	}
	for line := range strings.Lines(sshdSince) {
		if f := strings.Fields(line); len(f) == 2 {
			o := all[f[0]]
			o.since = parseSSHRelease(f[1], "")
			o.since.Package = ""
			all[f[0]] = o
		}
	}
	for line := range strings.Lines(sshdNames) {
		if f := strings.Fields(line); len(f) == 2 {
			all[f[0]] = all[f[1]]
		}
	}
	return all
}

// read reads a setting's words as sshd does, and says them as "sshd -T".
func (o sshdOption) read(words []string) (string, error) {
	if len(words) == 0 || words[0] == "" {
		return "", errors.New("says nothing")
	}
	word := words[0]
	switch o.kind {
	case "words", "first", "text":
		switch o.name {
		case "port":
			if p, err := strconv.Atoi(word); word != "ssh" && (err != nil || p < 1 || p > 65535) {
				return "", fmt.Errorf("%q is no port", word)
			}
		case "hostkey", "hostcertificate":
		case "listenaddress", "subsystem":
			return strings.Join(words, " "), nil
		default:
			return strings.Join(words, " "), nil
		}
	}
	if len(words) > 1 {
		return "", errors.New("more words than it takes")
	}
	switch o.kind {
	case "flag":
		return oneOf(word, []string{"yes", "no"})
	case "choice":
		v, err := oneOf(word, o.choices)
		switch v {
		case "without-password":
			v = "prohibit-password"
		case "all":
			v = "yes"
		case "DEBUG1":
			v = "DEBUG"
		}
		if o.name == "compression" && v == "yes" {
			v = "delayed"
		}
		return v, err
	case "int":
		n, err := strconv.ParseInt(word, 10, 32)
		if err != nil || n < 0 {
			return "", fmt.Errorf("%q is no number", word)
		}
		return strconv.FormatInt(n, 10), nil
	case "time":
		n, ok := sshTime(word)
		if !ok {
			return "", fmt.Errorf("%q is no time", word)
		}
		return strconv.FormatInt(n, 10), nil
	case "startups":
		return sshStartups(word)
	case "algorithms":
		return word, sshKnown(o.name, word)
	}
	return word, nil
}

func oneOf(word string, all []string) (string, error) {
	for _, a := range all {
		if strings.EqualFold(a, word) {
			return a, nil
		}
	}
	return "", fmt.Errorf("%q is none of %s", word, strings.Join(all, ", "))
}

// sshTime reads a time as "90", "2m" or "1h30m", in seconds.
func sshTime(s string) (total int64, ok bool) {
	const most = 1<<31 - 1
	for s != "" {
		end := 0
		for end < len(s) && s[end] >= '0' && s[end] <= '9' {
			end++
		}
		n, err := strconv.ParseInt(s[:end], 10, 32)
		if err != nil {
			return 0, false
		}
		s = s[end:]
		unit := int64(1)
		if s != "" {
			switch s[0] | 0x20 {
			case 's':
			case 'm':
				unit = 60
			case 'h':
				unit = 3600
			case 'd':
				unit = 86400
			case 'w':
				unit = 7 * 86400
			default:
				return 0, false
			}
			s = s[1:]
		}
		if total += n * unit; total > most {
			return 0, false
		}
		ok = true
	}
	return total, ok
}

// sshStartups reads MaxStartups: begin:rate:full, or full alone.
func sshStartups(word string) (string, error) {
	parts := strings.Split(word, ":")
	var n []int
	for _, p := range parts {
		v, err := strconv.Atoi(p)
		if err != nil {
			return "", fmt.Errorf("%q is not begin:rate:full", word)
		}
		n = append(n, v)
	}
	switch {
	case len(n) == 1 && n[0] > 0:
		return fmt.Sprintf("%d:30:%d", n[0], n[0]), nil
	case len(n) == 3 && n[0] <= n[2] && n[0] > 0 && n[1] >= 1 && n[1] <= 100:
		return word, nil
	}
	return "", fmt.Errorf("%q is not begin:rate:full", word)
}

// What OpenSSH offers, weakest ones too. The names of a setting's list are known of these.
const (
	sshAllKex = "diffie-hellman-group1-sha1,diffie-hellman-group14-sha1,diffie-hellman-group14-sha256,diffie-hellman-group16-sha512,diffie-hellman-group18-sha512," +
		"diffie-hellman-group-exchange-sha1,diffie-hellman-group-exchange-sha256,ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521," +
		"curve25519-sha256,curve25519-sha256@libssh.org,sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com,sntrup4591761x25519-sha512@tinyssh.org,mlkem768x25519-sha256"
	sshAllCiphers = "3des-cbc,aes128-cbc,aes192-cbc,aes256-cbc,rijndael-cbc@lysator.liu.se,aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com," +
		"chacha20-poly1305@openssh.com,arcfour,arcfour128,arcfour256,blowfish-cbc,cast128-cbc"
	sshAllMACs = "hmac-sha1,hmac-sha1-96,hmac-sha2-256,hmac-sha2-512,hmac-md5,hmac-md5-96,umac-64@openssh.com,umac-128@openssh.com," +
		"hmac-sha1-etm@openssh.com,hmac-sha1-96-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-md5-etm@openssh.com," +
		"hmac-md5-96-etm@openssh.com,umac-64-etm@openssh.com,umac-128-etm@openssh.com,hmac-ripemd160,hmac-ripemd160@openssh.com,hmac-ripemd160-etm@openssh.com"
	sshAllKeys = "ssh-ed25519,ssh-ed25519-cert-v01@openssh.com,sk-ssh-ed25519@openssh.com,sk-ssh-ed25519-cert-v01@openssh.com," +
		"ecdsa-sha2-nistp256,ecdsa-sha2-nistp256-cert-v01@openssh.com,ecdsa-sha2-nistp384,ecdsa-sha2-nistp384-cert-v01@openssh.com," +
		"ecdsa-sha2-nistp521,ecdsa-sha2-nistp521-cert-v01@openssh.com,sk-ecdsa-sha2-nistp256@openssh.com,sk-ecdsa-sha2-nistp256-cert-v01@openssh.com," +
		"webauthn-sk-ecdsa-sha2-nistp256@openssh.com,ssh-dss,ssh-dss-cert-v01@openssh.com,ssh-rsa,ssh-rsa-cert-v01@openssh.com," +
		"rsa-sha2-256,rsa-sha2-256-cert-v01@openssh.com,rsa-sha2-512,rsa-sha2-512-cert-v01@openssh.com"
)

func sshAll(setting string) []string {
	all := sshAllKeys
	switch setting {
	case "kexalgorithms":
		all = sshAllKex
	case "ciphers":
		all = sshAllCiphers
	case "macs":
		all = sshAllMACs
	}
	return strings.Split(all, ",")
}

// sshKnown says what sshd has against a list of algorithms.
func sshKnown(setting, list string) error {
	if list[0] == '-' {
		return nil
	}
	all := sshAll(setting)
	for _, name := range strings.Split(strings.TrimLeft(list, "+^"), ",") {
		if name == "" || slices.Contains(all, name) || strings.HasPrefix(name, "gss-") {
			continue
		}
		if len(all) > 0 && strings.Contains(setting, "accepted") || setting == "hostkeyalgorithms" || setting == "casignaturealgorithms" {
			if slices.ContainsFunc(all, func(a string) bool { return sshPattern(a, name) }) {
				continue
			}
		}
		return fmt.Errorf("%q is no algorithm that is known", name)
	}
	return nil
}

// sshAlgorithms is what a release offers by itself.
func sshAlgorithms(setting string, r SSHRelease) ([]string, bool) {
	if !r.AtLeast(7, 0) || r.AtLeast(10, 3) {
		return nil, false
	}
	var list string
	switch setting {
	case "kexalgorithms":
		const curve = "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521"
		const modp = ",diffie-hellman-group-exchange-sha256,diffie-hellman-group16-sha512,diffie-hellman-group18-sha512,diffie-hellman-group14-sha256"
		switch {
		case r.AtLeast(10, 0):
			list = "mlkem768x25519-sha256,sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com," + curve
		case r.AtLeast(9, 9):
			list = "sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com,mlkem768x25519-sha256," + curve + modp
		case r.AtLeast(9, 0):
			list = "sntrup761x25519-sha512@openssh.com," + curve + modp
			if strings.Contains(r.Package, "+deb12u") { // came to Debian 12 later
				list = "sntrup761x25519-sha512," + list
			}
		case r.AtLeast(8, 2):
			list = curve + modp
		default:
			list = curve + modp + ",diffie-hellman-group14-sha1"
		}
	case "ciphers":
		list = "chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com"
		if r.AtLeast(10, 0) {
			list = "chacha20-poly1305@openssh.com,aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr"
		}
	case "macs":
		list = "umac-64-etm@openssh.com,umac-128-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha1-etm@openssh.com," +
			"umac-64@openssh.com,umac-128@openssh.com,hmac-sha2-256,hmac-sha2-512,hmac-sha1"
	case "casignaturealgorithms":
		list = "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,sk-ssh-ed25519@openssh.com,sk-ecdsa-sha2-nistp256@openssh.com,rsa-sha2-512,rsa-sha2-256"
		if !r.AtLeast(8, 2) {
			list += ",ssh-rsa"
		}
	default:
		list = "ssh-ed25519-cert-v01@openssh.com,ecdsa-sha2-nistp256-cert-v01@openssh.com,ecdsa-sha2-nistp384-cert-v01@openssh.com,ecdsa-sha2-nistp521-cert-v01@openssh.com," +
			"sk-ssh-ed25519-cert-v01@openssh.com,sk-ecdsa-sha2-nistp256-cert-v01@openssh.com,rsa-sha2-512-cert-v01@openssh.com,rsa-sha2-256-cert-v01@openssh.com"
		if !r.AtLeast(8, 8) {
			list += ",ssh-rsa-cert-v01@openssh.com"
		}
		list += ",ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,sk-ssh-ed25519@openssh.com,sk-ecdsa-sha2-nistp256@openssh.com,rsa-sha2-512,rsa-sha2-256"
		if !r.AtLeast(8, 8) {
			list += ",ssh-rsa"
		}
	}
	return strings.Split(list, ","), true
}

// sshAssemble makes the list that holds of one that may add to the default (+), take
// from it (-), or go before it (^).
func sshAssemble(setting, list string, def []string) []string {
	all := sshAll(setting)
	rest := list
	if list != "" && strings.IndexByte("+-^", list[0]) >= 0 {
		rest = list[1:]
	}
	names := strings.Split(rest, ",")
	switch {
	case strings.HasPrefix(list, "+"):
		names = append(slices.Clone(def), names...)
	case strings.HasPrefix(list, "^"):
		names = append(names, def...)
	case strings.HasPrefix(list, "-"):
		names = nil
		for _, d := range def {
			if sshPatterns(d, rest) == 0 {
				names = append(names, d)
			}
		}
	}
	var result []string
	seen := map[string]bool{}
	for _, name := range names {
		if !strings.ContainsAny(name, "*?") {
			if name != "" && !seen[name] {
				seen[name] = true
				result = append(result, name)
			}
			continue
		}
		for _, a := range all {
			if sshPattern(a, name) && !seen[a] {
				seen[a] = true
				result = append(result, a)
			}
		}
	}
	return result
}
