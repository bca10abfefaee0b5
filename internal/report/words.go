package report

import "strings"

// Language is one of the report's own words. The words of checks are English.
type Language string

// The languages.
const (
	English Language = "en"
	German  Language = "de"
)

// LanguageOf chooses by what the environment says of the user's language (locale(7));
// English where it says nothing that we know.
func LanguageOf(getenv func(string) string) Language {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := getenv(name); v != "" {
			if v == "de" || strings.HasPrefix(v, "de_") {
				return German
			}
			return English
		}
	}
	return English
}

// messages is the catalogue: every text of a report that is its own, in one language.
// {n} and {m} are numbers, {what} is a text.
type messages struct {
	Title        string
	Of           string // {what}: which file system
	ThisMachine  string
	At           string // {what}
	HomeDir      string // {what}
	NotRoot      string
	Grade        string // {what}
	NoGrade      string // {n} of {m}
	NoGradeNone  string
	GradeScale   string // what the grades mean
	FirstTitle   string
	NothingFails string
	Fails        string // of one check
	Unknown      string
	Waived       string
	Fine         string
	NotAbout     string
	SumFails     string // {n}
	SumUnknown   string // {n}
	SumWaived    string // {n}
	SumFine      string // {n}
	SumNotAbout  string // {n}
	Because      string // {what}: why it could not be judged
	WaivedFor    string // {what}: reason, {until}
	More         string // {n} further lines
	InForce      string // {what}: the value that holds
	Should       string // {what}: what should be so, and is not
	Why          string
	ToDo         string
	DoesIt       string // {what}: the id of a check that has a repair
	ByHand       string // {what}: why a person has to do it
	Judged       string // what a check is judged from
	Here         string // how it came out
	Evidence     string
	Reference    string
	Check        string
	Severity     string
	Result       string
	SinceTitle   string // {what}: when
	SinceNew     string
	SinceGone    string
	SinceChanged string
	SinceNothing string
	WaiverOver   string // {what}: id, {until}
	WaiverIdle   string // {what}: id
	Explain      string // how to hear more
	Contents     string
	MadeBy       string // {what}: version

	Crit, High, Med, Low, Info string
	Topics                     topicWords
}

// topicWords are the headlines of topics.
type topicWords struct {
	Accounts, PAM, Sudo, SSH, Files, Kernel, Network, Updates, Logging, Time, Services, Cron, Boot, Confinement, HAProcess, Containers, TLS,
	HAHTTP, HAUsers, HAFiles, HAExposure, HAReleases, Proxies, Tor, WireGuard, VPN, Tunnels, Exposure, Passwords string
}

func (l Language) words() *messages {
	if l == German {
		return german()
	}
	return english()
}

// Headline is what a topic is called: the part of a check's id before the point.
func (l Language) Headline(topic string) string {
	t := l.words().Topics
	if name := t.of(topic); name != "" {
		return name
	}
	return plain(topic)
}

func (t topicWords) of(topic string) string {
	switch topic {
	case "acct":
		return t.Accounts
	case "pam":
		return t.PAM
	case "sudo":
		return t.Sudo
	case "ssh":
		return t.SSH
	case "fs":
		return t.Files
	case "kern":
		return t.Kernel
	case "net":
		return t.Network
	case "upd":
		return t.Updates
	case "log":
		return t.Logging
	case "time":
		return t.Time
	case "svc":
		return t.Services
	case "cron":
		return t.Cron
	case "boot":
		return t.Boot
	case "mac":
		return t.Confinement
	case "ha":
		return t.HAProcess
	case "ctr":
		return t.Containers
	case "tls":
		return t.TLS
	case "hahttp":
		return t.HAHTTP
	case "haauth":
		return t.HAUsers
	case "hasec":
		return t.HAFiles
	case "haexp":
		return t.HAExposure
	case "haver":
		return t.HAReleases
	case "px":
		return t.Proxies
	case "tor":
		return t.Tor
	case "wg":
		return t.WireGuard
	case "vpn":
		return t.VPN
	case "tun":
		return t.Tunnels
	case "inet":
		return t.Exposure
	case "password":
		return t.Passwords
	}
	return ""
}

func (m *messages) severity(s string) string {
	switch s {
	case "crit":
		return m.Crit
	case "high":
		return m.High
	case "med":
		return m.Med
	case "low":
		return m.Low
	case "info":
		return m.Info
	}
	return plain(s)
}

// fill puts values in places: fill(text, "n", "3").
func fill(text string, pairs ...string) string {
	var all []string
	for n := 0; n+1 < len(pairs); n += 2 {
		all = append(all, "{"+pairs[n]+"}", pairs[n+1])
	}
	return strings.NewReplacer(all...).Replace(text)
}

func english() *messages {
	return &messages{
		Title: "Gatehouse audit", Of: "of {what}", ThisMachine: "this machine", At: "made {what}", HomeDir: "Home Assistant in {what}",
		NotRoot: "This ran without root’s rights: much could not be read. Run it as root for all answers.",
		Grade:   "Grade {what}", NoGrade: "No grade: {n} of {m} critical and high checks could not be judged",
		NoGradeNone: "No grade: nothing critical or high could be asked here",
		GradeScale:  "A: nothing that matters much fails. B: some medium things fail. C to E: high ones fail. F: something critical fails.",
		FirstTitle:  "Do first", NothingFails: "Nothing fails.",
		Fails: "fails", Unknown: "not judged", Waived: "waived", Fine: "fine", NotAbout: "not applicable",
		SumFails: "{n} failing", SumUnknown: "{n} not judged", SumWaived: "{n} waived", SumFine: "{n} fine", SumNotAbout: "{n} not applicable",
		Because: "Could not be judged: {what}", WaivedFor: "Waived until {until}: {what}", More: "and {n} more", InForce: "In force: {what}", Should: "Should be: {what}",
		DoesIt: "\"gatehouse fix {what}\" does it: shown first, undone on request.", ByHand: "A person has to do it: {what}",
		Why: "Why", ToDo: "What to do", Judged: "Judged from", Here: "Here", Evidence: "Evidence", Reference: "References", Check: "Check", Severity: "Severity", Result: "Result",
		SinceTitle: "Since {what}", SinceNew: "New", SinceGone: "Gone", SinceChanged: "Changed", SinceNothing: "Nothing has changed.",
		WaiverOver: "The waiver of {what} ran out on {until} and does not count any more.", WaiverIdle: "The waiver of {what} has nothing to waive.",
		Explain: "More about one of them: gatehouse audit --explain ID", Contents: "Topics", MadeBy: "Made by Gatehouse {what}. Nothing was changed.",
		Crit: "critical", High: "high", Med: "medium", Low: "low", Info: "info",
		Topics: topicWords{
			Accounts: "Accounts", PAM: "Signing in to the machine (PAM)", Sudo: "sudo", SSH: "SSH server", Files: "File system and mounts", Kernel: "Kernel", Network: "Listeners and firewall",
			Updates: "Updates", Logging: "Logging", Time: "Time", Services: "Services", Cron: "Scheduled jobs", Boot: "Boot", Confinement: "Confinement", HAProcess: "Home Assistant’s process",
			Containers: "Containers", TLS: "TLS", HAHTTP: "Home Assistant’s HTTP settings", HAUsers: "Home Assistant’s users and tokens", HAFiles: "Home Assistant’s secrets and files",
			HAExposure: "What Home Assistant shows", HAReleases: "Home Assistant’s release", Proxies: "Reverse proxies", Tor: "Tor", WireGuard: "WireGuard", VPN: "VPN", Tunnels: "SSH tunnels",
			Exposure: "What the Internet reaches", Passwords: "Passwords that are easy to guess",
		},
	}
}

func german() *messages {
	return &messages{
		Title: "Prüfung durch Gatehouse", Of: "von {what}", ThisMachine: "diesem Rechner", At: "vom {what}", HomeDir: "Home Assistant in {what}",
		NotRoot: "Ohne Rechte von root: vieles war nicht zu lesen. Alle Antworten gibt es nur als root.",
		Grade:   "Note {what}", NoGrade: "Keine Note: {n} von {m} kritischen und hohen Prüfungen waren nicht zu beurteilen",
		NoGradeNone: "Keine Note: nichts Kritisches oder Hohes war hier zu fragen",
		GradeScale:  "A: nichts Wichtiges ist verkehrt. B: einiges Mittlere ist verkehrt. C bis E: Hohes ist verkehrt. F: etwas Kritisches ist verkehrt.",
		FirstTitle:  "Zuerst zu tun", NothingFails: "Nichts ist verkehrt.",
		Fails: "verkehrt", Unknown: "nicht beurteilt", Waived: "geduldet", Fine: "in Ordnung", NotAbout: "gegenstandslos",
		SumFails: "{n} verkehrt", SumUnknown: "{n} nicht zu beurteilen", SumWaived: "{n} geduldet", SumFine: "{n} in Ordnung", SumNotAbout: "{n} gegenstandslos",
		Because: "Nicht zu beurteilen: {what}", WaivedFor: "Geduldet bis {until}: {what}", More: "und {n} weitere", InForce: "Es gilt: {what}", Should: "Soll sein: {what}",
		DoesIt: "„gatehouse fix {what}“ erledigt es: erst gezeigt, auf Wunsch rückgängig gemacht.", ByHand: "Das muss ein Mensch tun: {what}",
		Why: "Warum", ToDo: "Was zu tun ist", Judged: "Beurteilt nach", Here: "Hier", Evidence: "Beleg", Reference: "Quellen", Check: "Prüfung", Severity: "Gewicht", Result: "Ergebnis",
		SinceTitle: "Seit {what}", SinceNew: "Neu", SinceGone: "Erledigt", SinceChanged: "Verändert", SinceNothing: "Nichts hat sich verändert.",
		WaiverOver: "Die Duldung von {what} ist am {until} abgelaufen und zählt nicht mehr.", WaiverIdle: "Die Duldung von {what} hat nichts zu dulden.",
		Explain: "Mehr zu einer Prüfung: gatehouse audit --explain ID", Contents: "Themen", MadeBy: "Von Gatehouse {what}. Nichts wurde verändert.",
		Crit: "kritisch", High: "hoch", Med: "mittel", Low: "niedrig", Info: "zur Kenntnis",
		Topics: topicWords{
			Accounts: "Konten", PAM: "Anmelden am Rechner (PAM)", Sudo: "Rechte durch sudo", SSH: "SSH-Server", Files: "Dateisystem und Einhängepunkte", Kernel: "Kern", Network: "Offene Ports und Firewall",
			Updates: "Aktualisierungen", Logging: "Protokolle", Time: "Uhrzeit", Services: "Dienste", Cron: "Geplante Aufträge", Boot: "Start", Confinement: "Abschottung", HAProcess: "Prozess von Home Assistant",
			Containers: "Container", TLS: "Verschlüsselung (TLS)", HAHTTP: "HTTP-Einstellungen von Home Assistant", HAUsers: "Nutzer und Token von Home Assistant", HAFiles: "Geheimnisse und Dateien von Home Assistant",
			HAExposure: "Was Home Assistant zeigt", HAReleases: "Version von Home Assistant", Proxies: "Vorgeschaltete Server", Tor: "Tor", WireGuard: "WireGuard", VPN: "VPN", Tunnels: "SSH-Tunnel",
			Exposure: "Was aus dem Internet erreichbar ist", Passwords: "Leicht zu erratende Passwörter",
		},
	}
}
