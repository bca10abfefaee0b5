package ha

import (
	"errors"

	"github.com/go-json-experiment/json"
)

// Home Assistant reads the bodies of its login as JSON whatever their content type
// says (ha-protocol 2.1). Errors here never quote a body: it may hold a password.
var errLogin = errors.New("login message is malformed")

// LoginStart begins a login.
type LoginStart struct {
	ClientID    string `json:"client_id"`
	RedirectURI string `json:"redirect_uri"`
}

// ParseLoginStart reads the body of POST /auth/login_flow.
func ParseLoginStart(body []byte) (LoginStart, error) {
	var s LoginStart
	if json.Unmarshal(body, &s) != nil {
		return LoginStart{}, errLogin
	}
	return s, nil
}

// LoginStep is one step of a login. The code that it may come to is bound to this
// client, whatever the start said.
type LoginStep struct {
	ClientID string `json:"client_id"`
	Username string `json:"username"`
}

// ParseLoginStep reads the body of POST /auth/login_flow/{flow}.
func ParseLoginStep(body []byte) (LoginStep, error) {
	var s LoginStep
	if json.Unmarshal(body, &s) != nil {
		return LoginStep{}, errLogin
	}
	return s, nil
}

// LoginOutcome says what a step of a login came to (ha-protocol 2.1 and 2.5).
type LoginOutcome int

// The outcomes. LoginOther says nothing about who logs in: it is neither a success
// nor a failure.
const (
	LoginOther        LoginOutcome = iota
	LoginForm                      // a form to fill in
	LoginWrong                     // user name, password, code or client was wrong
	LoginSecondFactor              // the password was right; a second factor is asked for
	LoginDone                      // logged in
)

// LoginAnswer is Home Assistant's answer to a start or step of a login.
type LoginAnswer struct {
	Outcome LoginOutcome
	Code    string // the authorization code, if LoginDone
}

// ParseLoginAnswer reads an answer to a start or step of a login. A wrong password is
// answered with 200; a refusal says so by its status, and its body is not looked at.
func ParseLoginAnswer(status int, body []byte) (LoginAnswer, error) {
	switch {
	case status == 409 || status == 413:
		return LoginAnswer{}, nil // two at once, or too large: nothing was tried
	case status >= 400 && status < 500:
		return LoginAnswer{Outcome: LoginWrong}, nil
	case status != 200:
		return LoginAnswer{}, nil
	}
	var a struct {
		Type   string            `json:"type"`
		Step   string            `json:"step_id"`
		Errors map[string]string `json:"errors"`
		Reason string            `json:"reason"`
		Result any               `json:"result"`
	}
	if json.Unmarshal(body, &a) != nil {
		return LoginAnswer{}, errLogin
	}
	switch a.Type {
	case "create_entry":
		code, _ := a.Result.(string)
		if code == "" {
			return LoginAnswer{}, errLogin
		}
		return LoginAnswer{Outcome: LoginDone, Code: code}, nil
	case "abort":
		if a.Reason == "too_many_retry" { // instead of the last invalid_code
			return LoginAnswer{Outcome: LoginWrong}, nil
		}
		return LoginAnswer{}, nil
	case "form":
	default:
		return LoginAnswer{}, nil
	}
	switch base := a.Errors["base"]; {
	case base == "invalid_auth" || base == "invalid_code":
		return LoginAnswer{Outcome: LoginWrong}, nil
	case base == "" && (a.Step == "mfa" || a.Step == "select_mfa_module"):
		return LoginAnswer{Outcome: LoginSecondFactor}, nil
	}
	return LoginAnswer{Outcome: LoginForm}, nil
}
