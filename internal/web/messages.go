package web

import (
	"strconv"
	"strings"
)

// messages is the catalogue: every text of the pages, in one language. A name of a
// person stands where {name} is, a number where {n} is.
type messages struct {
	Product  string // also the name of the mark
	Or       string
	Cancel   string
	Go       string // on to Home Assistant
	ToStart  string
	ToOwn    string // on to one's own page
	TryAgain string
	NoScript string // on pages that do little without scripts

	// sign-in
	SignInTitle   string
	SignInLead    string
	WithPasskey   string
	NameLabel     string
	CodeLabel     string
	CodeHint      string
	WithCode      string
	AskDevice     string
	Refused       string
	AskingLead    string // before the address
	AskingNumber  string
	AskingMachine string // before the command
	Continue      string // link for when going on by itself did not work

	// invitation
	OwnerTitle    string
	OwnerLead     string
	InviteTitle   string
	InviteLead    string // {name}
	InviteInstead string // {name}
	YourName      string
	YourNameHint  string
	MakePasskey   string
	PasskeyHint   string
	UseApp        string
	UseAppHint    string
	AppReplaces   string
	JustRemember  string
	RememberHint  string
	NeedsScript   string

	// authenticator app and codes
	AppScan       string
	AppPicture    string // what the picture is, for those who do not see it
	AppOpen       string
	AppSecret     string
	AppCode       string
	AppCodeHint   string
	AppFinish     string
	CodesLead     string
	CodesList     string
	CodesPrint    string
	CodesCopy     string
	CodesApp      string
	CodesAppLead  string
	CodesDone     string
	CodesDoneHint string

	// invitation that is none
	NoInviteTitle string
	NoInviteText  string
	NoInviteMore  string

	HandoutTitle, HandoutLead, HandoutDevice                    string
	HandoutFetch, HandoutInstall, HandoutUse                    string
	HandoutButton, HandoutOnce                                  string
	RenewTitle, RenewLead, RenewExpires, RenewLater, RenewNever string
	RenewPassword, RenewPasswordHint, RenewWrong                string

	// one's own page
	OwnTitle       string
	OwnHello       string // {name}
	RoleOwner      string
	RoleMember     string
	HAUser         string
	BrowserTitle   string
	BrowserSince   string
	BrowserFrom    string
	SignOut        string
	SignOutHint    string
	WaitingTitle   string
	WaitingNone    string
	NumberLabel    string
	Approve        string
	Deny           string
	WaysTitle      string
	WaysNone       string
	Passkey        string // one of which no more is known
	Passkeys       string
	PasskeysNone   string
	PasskeyMade    string
	PasskeyUsed    string
	PasskeyOn      string // before a device's name
	PasskeyHere    string
	PasskeySynced  string
	AddPasskey     string
	Remove         string
	RemoveTitle    string
	RemoveText     string
	App            string
	AppOn          string
	AppOff         string
	AppSet         string
	AppChange      string
	Recovery       string
	RecoveryLeft   string // {n}
	RecoveryOne    string
	RecoveryNone   string
	NewCodes       string
	NewCodesHint   string
	ConfirmTitle   string
	ConfirmLead    string
	ConfirmCode    string
	ConfirmPasskey string
	ConfirmDo      string

	// pages that stand in
	OtherUserTitle    string
	OtherUserText     string // {name}
	OtherUserMore     string
	OtherUserResume   string
	OverTLSTitle      string
	OverTLSText       string // before the address
	OverTLSMore       string
	DownTitle         string
	DownText          string
	NotAllowedTitle   string
	NotAllowedText    string
	NotFoundTitle     string
	NotFoundText      string
	NotOnboardedTitle string
	NotOnboardedText  string
	NotOnboardedMore  string
	FailedTitle       string
	FailedText        string

	// trusting the local authority
	TrustTitle     string
	TrustLead      string
	TrustLimits    string
	TrustPublic    string // {name}
	TrustForeign   string // {name}
	TrustChanging  string
	TrustBefore    string
	CompareTitle   string
	CompareText    string // before the command
	ComparePlain   string
	CompareWarned  string
	CompareName    string // before the name
	CompareUntil   string // before the date
	CompareLabel   string
	TrustOthers    string
	GetProfile     string
	GetCertificate string
	AppleName      string
	Apple1         string
	Apple2         string
	Apple3         string
	AppleNote      string
	Android1       string
	Android2       string
	Android3       string
	AndroidNote    string
	Windows1       string
	Windows2       string
	Windows3       string
	WindowsCommand string
	Mac1           string
	Mac2           string
	MacCommand     string
	MacNote        string
	Linux1         string
	Linux2         string
	LinuxDebian    string
	LinuxFedora    string
	LinuxChromium  string
	Firefox1       string
	Firefox2       string
	FirefoxCommand string
	CheckTitle     string
	Checking       string
	CheckYes       string
	CheckNo        string
	CheckUnsure    string // before the address
	CheckAgain     string
	CheckNoScript  string // before the address
	PageTitle      string
	PageText       string
	PagePicture    string
	TrustLink      string // on other pages

	Script scriptWords
}

// scriptWords are the texts that scripts show. They stand on every page, so they say
// nothing of the house.
type scriptWords struct {
	Errors errorWords `json:"errors"`

	Going        string `json:"going"`
	Waiting      string `json:"waiting"`
	Until        string `json:"until"` // {time}
	Denied       string `json:"denied"`
	Gone         string `json:"gone"`
	Copied       string `json:"copied"`
	CopyYourself string `json:"copyYourself"`
	CodesTitle   string `json:"codesTitle"`
	AppTitle     string `json:"appTitle"`
	AskingTitle  string `json:"askingTitle"`
	From         string `json:"from"` // {addr}, {door}
	NeedNumber   string `json:"needNumber"`
	Approved     string `json:"approved"`
	Turned       string `json:"turned"`
	Added        string `json:"added"`
	Removed      string `json:"removed"`
	AppChanged   string `json:"appChanged"`
	Asks         string `json:"asks"` // {name}
}

// errorWords say what went wrong, by the word that the API answers or the name that
// the browser gives its error.
type errorWords struct {
	Refused     string `json:"refused"`
	Invitation  string `json:"invitation"`
	Again       string `json:"again"`
	Code        string `json:"code"`
	NotFresh    string `json:"not-fresh"`
	Gone        string `json:"gone"`
	Name        string `json:"name"`
	NameTaken   string `json:"name-taken"`
	Busy        string `json:"busy"`
	Number      string `json:"number"`
	NoPasskey   string `json:"no-passkey"`
	TooMany     string `json:"too-many"`
	SignedOut   string `json:"signed-out"`
	Offline     string `json:"offline"`
	Failed      string `json:"failed"`
	Cancelled   string `json:"NotAllowedError"`
	Exists      string `json:"InvalidStateError"`
	Unsupported string `json:"NotSupportedError"`
	Security    string `json:"SecurityError"`
}

// language is a language that the pages speak.
type language struct {
	tag   string // BCP 47, lower case
	words *messages
}

// languages returns every language, the one for everybody else first.
func languages() []language {
	return []language{{"en", english()}, {"de", german()}}
}

// sayName puts a name into a text.
func sayName(text, name string) string { return strings.ReplaceAll(text, "{name}", name) }

// sayCount puts a number into a text.
func sayCount(text string, n int) string { return strings.ReplaceAll(text, "{n}", strconv.Itoa(n)) }

// maxAcceptLanguage bounds what is read of an Accept-Language header, in bytes.
const maxAcceptLanguage = 512

// language returns the language that a browser likes best (RFC 9110 section 12.5.4);
// a region makes no difference.
func (p *Pages) language(accept string) language {
	best, weight := p.languages[0], 0.0
	if len(accept) > maxAcceptLanguage {
		return best
	}
	for entry := range strings.SplitSeq(accept, ",") {
		tag, params, _ := strings.Cut(entry, ";")
		q, ok := quality(params)
		if !ok || q <= weight {
			continue
		}
		primary, _, _ := strings.Cut(strings.TrimSpace(tag), "-")
		for _, l := range p.languages {
			if strings.EqualFold(primary, l.tag) {
				best, weight = l, q
			}
		}
	}
	return best
}

// quality reads a weight, "q=0.8"; 1 where there is none.
func quality(params string) (q float64, ok bool) {
	params = strings.TrimSpace(params)
	if params == "" {
		return 1, true
	}
	value, ok := strings.CutPrefix(strings.ToLower(params), "q=")
	if !ok {
		return 0, false
	}
	q, err := strconv.ParseFloat(value, 64)
	return q, err == nil && q >= 0 && q <= 1
}
