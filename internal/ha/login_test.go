package ha

import (
	"strings"
	"testing"
)

func TestParseLogin(t *testing.T) {
	start, err := ParseLoginStart([]byte(`{"client_id":"https://home.example/","handler":["homeassistant",null],"redirect_uri":"https://home.example/?auth_callback=1","code_challenge":"x","code_challenge_method":"S256"}`))
	if err != nil || start != (LoginStart{"https://home.example/", "https://home.example/?auth_callback=1"}) {
		t.Errorf("%+v, %v", start, err)
	}
	step, err := ParseLoginStep([]byte(`{"username":"Anna ","password":"secret","client_id":"https://home.example/"}`))
	if err != nil || step != (LoginStep{"https://home.example/", "Anna "}) {
		t.Errorf("%+v, %v", step, err)
	}
	for _, body := range []string{"", "null x", "[]", `{"client_id":1}`, `{"client_id":"a","client_id":"b"}`, `{"client_id":"a","password":"secret","password":"x"}`,
		`{"client_id":"\ud800"}`, "{\"client_id\":\"\xff\"}", "\xef\xbb\xbf{}", `{"client_id":"a"}{}`, `{"client_id":NaN}`} {
		if got, err := ParseLoginStart([]byte(body)); err == nil {
			t.Errorf("%q is taken: %+v", body, got)
		}
		if got, err := ParseLoginStep([]byte(body)); err == nil {
			t.Errorf("%q is taken: %+v", body, got)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error quotes the password: %v", err)
		}
	}
}

// loginAnswers is the table of ha-protocol 2.1.
var loginAnswers = []struct {
	name   string
	status int
	body   string
	want   LoginAnswer
}{
	{"start", 200, `{"type":"form","flow_id":"0a","handler":["homeassistant",null],"step_id":"init","data_schema":[],"errors":{},"description_placeholders":null,"last_step":null,"preview":null}`, LoginAnswer{Outcome: LoginForm}},
	{"start, trusted networks", 200, `{"type":"form","flow_id":"0a","step_id":"init","errors":null}`, LoginAnswer{Outcome: LoginForm}},
	{"wrong password", 200, `{"type":"form","flow_id":"0a","step_id":"init","errors":{"base":"invalid_auth"}}`, LoginAnswer{Outcome: LoginWrong}},
	{"wrong code", 200, `{"type":"form","flow_id":"0a","step_id":"mfa","errors":{"base":"invalid_code"}}`, LoginAnswer{Outcome: LoginWrong}},
	{"second factor", 200, `{"type":"form","flow_id":"0a","step_id":"mfa","errors":{},"description_placeholders":{"mfa_module_id":"totp"}}`, LoginAnswer{Outcome: LoginSecondFactor}},
	{"which second factor", 200, `{"type":"form","flow_id":"0a","step_id":"select_mfa_module","errors":{}}`, LoginAnswer{Outcome: LoginSecondFactor}},
	{"no such second factor", 200, `{"type":"form","flow_id":"0a","step_id":"select_mfa_module","errors":{"base":"invalid_auth_module"}}`, LoginAnswer{Outcome: LoginForm}},
	{"logged in", 200, `{"version":1,"type":"create_entry","flow_id":"0a","handler":["homeassistant",null],"result":"0123456789abcdef0123456789abcdef"}`,
		LoginAnswer{Outcome: LoginDone, Code: "0123456789abcdef0123456789abcdef"}},
	{"too many codes", 200, `{"type":"abort","flow_id":"0a","reason":"too_many_retry"}`, LoginAnswer{Outcome: LoginWrong}},
	{"too late", 200, `{"type":"abort","flow_id":"0a","reason":"login_expired"}`, LoginAnswer{}},
	{"something new", 200, `{"type":"progress"}`, LoginAnswer{}},
	{"flow unknown", 404, `{"message":"Invalid flow specified"}`, LoginAnswer{Outcome: LoginWrong}},
	{"two at once", 409, `{"message":"Flow request already in progress"}`, LoginAnswer{}},
	{"too large", 413, ``, LoginAnswer{}},
	{"not active", 403, `{"message":"Login blocked: User is not active"}`, LoginAnswer{Outcome: LoginWrong}},
	{"malformed", 400, `not JSON`, LoginAnswer{Outcome: LoginWrong}},
	{"stopping", 503, ``, LoginAnswer{}},
	{"redirect", 302, ``, LoginAnswer{}},
}

func TestParseLoginAnswer(t *testing.T) {
	for _, c := range loginAnswers {
		if got, err := ParseLoginAnswer(c.status, []byte(c.body)); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	for _, body := range []string{"", "[]", `{"type":"create_entry"}`, `{"type":"create_entry","result":1}`, `{"type":"create_entry","result":""}`,
		`{"type":"form","type":"create_entry","result":"x"}`, `{"type":"form","errors":{"base":"invalid_auth","base":""}}`} {
		if got, err := ParseLoginAnswer(200, []byte(body)); err == nil {
			t.Errorf("%q is taken: %+v", body, got)
		}
	}
}

func FuzzParseLoginAnswer(f *testing.F) {
	for _, c := range loginAnswers {
		f.Add(c.status, []byte(c.body))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		got, err := ParseLoginAnswer(status, body)
		if err != nil && got != (LoginAnswer{}) || (got.Outcome == LoginDone) != (got.Code != "") || got.Outcome == LoginDone && status != 200 {
			t.Fatalf("%d %q is %+v, %v", status, body, got, err)
		}
		if start, err := ParseLoginStart(body); err != nil && start != (LoginStart{}) {
			t.Fatalf("%+v with %v", start, err)
		}
		if step, err := ParseLoginStep(body); err != nil && step != (LoginStep{}) {
			t.Fatalf("%+v with %v", step, err)
		}
	})
}

func TestCompanionApp(t *testing.T) {
	for ua, want := range map[string]App{
		"Home Assistant/2026.10.4-17500 (Android 15; Pixel 8)": AppAndroid,
		"Mozilla/5.0 (Linux; Android 15; Pixel 8 Build/AP1A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/130.0.0.0 Mobile Safari/537.36 Home Assistant/2026.10.4-17500 (Android 15; Pixel 8)": AppAndroid,
		"Home Assistant/2026.10 (io.robbie.HomeAssistant; build:2026.1120; iOS 26.1.0) Alamofire/5.9.1":                                                                                                         AppIOS,
		"Home Assistant/2026.10 (io.robbie.HomeAssistant; build:2026.1120; macOS 26.1.0)":                                                                                                                       AppIOS,
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/HomeAssistant, like Safari":                                                                     AppIOS,
		"Home%20Assistant/2026.1120 CFNetwork/3860.100.1 Darwin/25.0.0":                                                                                                                                         AppIOS,
		"": AppNone,
		"Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Mobile Safari/537.36": AppNone,
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                       AppNone,
		"HomeAssistant/2026.11.0 aiohttp/3.14.5 Python/3.14":                                                           AppNone,
		"curl/8.5.0": AppNone,
	} {
		if got := CompanionApp(ua); got != want {
			t.Errorf("%q is %d, want %d", ua, got, want)
		}
	}
}
