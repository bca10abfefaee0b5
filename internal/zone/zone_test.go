package zone

import (
	"cmp"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

// The module for acme-dns does not close what it is answered with, so its connections stay.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"))
}

const (
	challenge = "_acme-challenge.ha.example.org"
	text      = "gfj9Xq-Rg85nM_NeJ0V5X2Ts8xMJyqp3AqC-x3C3Aw0"
	token     = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
)

// A provider is an API as its provider documents it, over texts that it keeps.
type provider struct {
	t     *testing.T
	mu    sync.Mutex
	at    map[string][]string // full name → texts; name and kind → addresses
	ttl   map[string]int      // of a set, where the API has one for all
	stuck bool                // OVH: no zone is refreshed
}

// key is where a set is kept.
func key(name, kind string) string {
	if kind == "TXT" {
		return name
	}
	return name + " " + kind
}

// quoted is a record as most APIs have it: texts in quotes.
func quoted(kind, data string) string {
	if kind == "TXT" {
		return `"` + data + `"`
	}
	return data
}

func (p *provider) add(name, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at[name] = append(p.at[name], text)
}

func (p *provider) set(name string, texts ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at[name] = texts
}

func (p *provider) drop(name, text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.at[name], text)
	if i < 0 {
		return false
	}
	p.at[name] = slices.Delete(p.at[name], i, i+1)
	return true
}

func (p *provider) texts(name string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.at[name])
}

func say(w http.ResponseWriter, status int, document any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(document)
}

// read reads a request's document; unknown members are an error of the caller's.
func read(t *testing.T, r *http.Request, into any) {
	data, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
}

func unquote(s string) string { return strings.Trim(s, `"`) }

func full(sub, zone string) string {
	if sub == "" || sub == "@" {
		return zone
	}
	return sub + "." + zone
}

// allowed answers 401 to who has not the header.
func allowed(name, value string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(name) != value {
			say(w, http.StatusUnauthorized, map[string]any{"message": "unauthorized: " + r.Header.Get(name), "code": 401, "errors": []map[string]any{{"code": 10000, "message": "Authentication error " + r.Header.Get(name)}}})
			return
		}
		next(w, r)
	}
}

// www.duckdns.org/spec.jsp: one text a domain, told by GET.
func (p *provider) duckDNS(mux *http.ServeMux) {
	mux.HandleFunc("GET www.duckdns.org/update", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("token") != token || q.Get("domains") != "house.duckdns.org" {
			fmt.Fprint(w, "KO")
			return
		}
		const house = "house.duckdns.org"
		switch {
		case q.Has("txt") && q.Get("clear") == "true":
			p.set(house)
		case q.Has("txt"):
			p.set(house, q.Get("txt"))
		case q.Get("clear") == "true": // "the update will ignore all ip's and clear both your records"
			p.set(key(house, "A"))
			p.set(key(house, "AAAA"))
		default: // "if you specify this [ipv6] then the autodetection for ip is not used"
			if q.Has("ipv6") {
				p.set(key(house, "AAAA"), q.Get("ipv6"))
			} else {
				p.set(key(house, "A"), cmp.Or(q.Get("ip"), "whoever asks"))
			}
		}
		fmt.Fprint(w, "OK\n\n\nUPDATED")
	})
}

// desec.readthedocs.io/en/latest/dns/rrsets.html: whole sets, texts in quotes, an hour at least.
func (p *provider) deSEC(mux *http.ServeMux) {
	type set struct {
		Subname string   `json:"subname"`
		Type    string   `json:"type"`
		Records []string `json:"records"`
		TTL     int      `json:"ttl"`
	}
	get := func(w http.ResponseWriter, r *http.Request) {
		s := set{r.PathValue("sub"), r.PathValue("kind"), []string{}, 3600}
		for _, t := range p.texts(key(full(s.Subname, r.PathValue("zone")), s.Type)) {
			s.Records = append(s.Records, quoted(s.Type, t))
		}
		if len(s.Records) == 0 {
			say(w, http.StatusNotFound, map[string]string{"detail": "Not found."})
			return
		}
		say(w, http.StatusOK, s)
	}
	put := func(w http.ResponseWriter, r *http.Request) {
		var sets []set
		read(p.t, r, &sets)
		for _, s := range sets {
			if s.TTL < 3600 {
				say(w, http.StatusBadRequest, []map[string]any{{"ttl": []string{"Ensure this value is greater than or equal to 3600."}}})
				return
			}
			var texts []string
			for _, t := range s.Records {
				texts = append(texts, unquote(t))
			}
			p.set(key(full(s.Subname, r.PathValue("zone")), s.Type), texts...)
		}
		say(w, http.StatusOK, sets)
	}
	mux.HandleFunc("GET desec.io/api/v1/domains/{zone}/rrsets/{sub}/{kind}", allowed("Authorization", "Token "+token, get))
	mux.HandleFunc("PUT desec.io/api/v1/domains/{zone}/rrsets/", allowed("Authorization", "Token "+token, put))
}

// developers.cloudflare.com/api/resources/dns: records with ids below a zone with an id.
func (p *provider) cloudflare(mux *http.ServeMux) {
	type record struct {
		ID      string `json:"id"`
		Name    string `json:"name"`
		Type    string `json:"type"`
		Content string `json:"content"`
		TTL     int    `json:"ttl"`
	}
	ok := func(w http.ResponseWriter, result any) {
		say(w, http.StatusOK, map[string]any{"success": true, "errors": []any{}, "messages": []any{}, "result": result})
	}
	bearer := func(h http.HandlerFunc) http.HandlerFunc { return allowed("Authorization", "Bearer "+token, h) }
	mux.HandleFunc("GET api.cloudflare.com/client/v4/zones", bearer(func(w http.ResponseWriter, r *http.Request) {
		if name := strings.TrimSuffix(r.URL.Query().Get("name"), "."); name == "example.org" {
			ok(w, []map[string]string{{"id": "z1", "name": name}})
			return
		}
		ok(w, []any{})
	}))
	mux.HandleFunc("POST api.cloudflare.com/client/v4/zones/z1/dns_records", bearer(func(w http.ResponseWriter, r *http.Request) {
		var in record
		read(p.t, r, &in)
		if !strings.HasSuffix(in.Name, "example.org") { // a name below the zone may be said short
			in.Name += ".example.org"
		}
		if in.Type != "TXT" && slices.Contains(p.texts(key(in.Name, in.Type)), in.Content) {
			say(w, http.StatusBadRequest, map[string]any{"success": false, "errors": []map[string]any{{"code": 81058, "message": "An identical record already exists."}}})
			return
		}
		p.add(key(in.Name, in.Type), unquote(in.Content))
		in.ID = hex.EncodeToString([]byte(in.Name + " " + in.Type + " " + unquote(in.Content)))
		ok(w, in)
	}))
	// by finds a record by its id.
	by := func(id string) (name, kind, content string) {
		words, err := hex.DecodeString(id)
		if err != nil {
			p.t.Error(err)
		}
		f := strings.Fields(string(words))
		return f[0], f[1], f[2]
	}
	mux.HandleFunc("PATCH api.cloudflare.com/client/v4/zones/z1/dns_records/{id}", bearer(func(w http.ResponseWriter, r *http.Request) {
		var in record
		read(p.t, r, &in)
		name, kind, content := by(r.PathValue("id"))
		if kind != in.Type || !p.drop(key(name, kind), content) {
			say(w, http.StatusNotFound, map[string]any{"success": false, "errors": []map[string]any{{"code": 81044, "message": "Record does not exist."}}})
			return
		}
		p.add(key(name, kind), in.Content)
		ok(w, in)
	}))
	mux.HandleFunc("GET api.cloudflare.com/client/v4/zones/z1/dns_records", bearer(func(w http.ResponseWriter, r *http.Request) {
		all := []record{}
		name := strings.TrimSuffix(r.URL.Query().Get("name"), ".")
		kind := r.URL.Query().Get("type")
		for _, t := range p.texts(key(name, kind)) {
			if exact := r.URL.Query().Get("content.exact"); strings.Contains(t, r.URL.Query().Get("content.contains")) && (exact == "" || exact == t) {
				all = append(all, record{hex.EncodeToString([]byte(name + " " + kind + " " + t)), name, kind, quoted(kind, t), 60})
			}
		}
		ok(w, all)
	}))
	mux.HandleFunc("DELETE api.cloudflare.com/client/v4/zones/z1/dns_records/{id}", bearer(func(w http.ResponseWriter, r *http.Request) {
		name, kind, content := by(r.PathValue("id"))
		p.drop(key(name, kind), content)
		ok(w, record{ID: r.PathValue("id"), Name: name, Type: kind, Content: quoted(kind, content), TTL: 60})
	}))
}

// docs.hetzner.cloud/reference/cloud: what is asked for is an action, and done later.
func (p *provider) hetzner(mux *http.ServeMux) {
	type change struct {
		Name    string `json:"name"`
		Type    string `json:"type"`
		TTL     int    `json:"ttl"`
		Records []struct {
			Value string `json:"value"`
		} `json:"records"`
	}
	action := map[string]any{"id": 1, "status": "success", "command": "change", "progress": 100, "started": "2026-11-26T00:00:00Z", "finished": "2026-11-26T00:00:01Z", "resources": []any{}, "error": nil}
	do := func(add bool) http.HandlerFunc {
		return allowed("Authorization", "Bearer "+token, func(w http.ResponseWriter, r *http.Request) {
			var in change
			read(p.t, r, &in)
			kind := r.PathValue("kind")
			name := key(full(r.PathValue("sub"), r.PathValue("zone")), kind)
			if was := p.ttl[name]; add && was != 0 && was != in.TTL {
				say(w, http.StatusUnprocessableEntity, map[string]any{"error": map[string]any{"code": "invalid_input", "message": "the set has another TTL"}})
				return
			}
			if add && len(in.Records) == 1 && slices.Contains(p.texts(name), unquote(in.Records[0].Value)) {
				say(w, http.StatusConflict, map[string]any{"error": map[string]any{"code": "uniqueness_error", "message": "the set has it"}})
				return
			}
			for _, record := range in.Records {
				if kind == "TXT" && !strings.HasPrefix(record.Value, `"`) {
					say(w, http.StatusUnprocessableEntity, map[string]any{"error": map[string]any{"code": "invalid_input", "message": "TXT values stand in quotes"}})
					return
				}
				if add {
					p.add(name, unquote(record.Value))
				} else if !p.drop(name, unquote(record.Value)) {
					say(w, http.StatusNotFound, map[string]any{"error": map[string]any{"code": "not_found", "message": "no such record"}})
					return
				}
			}
			say(w, http.StatusCreated, map[string]any{"action": action})
		})
	}
	mux.HandleFunc("POST api.hetzner.cloud/v1/zones/{zone}/rrsets/{sub}/{kind}/actions/add_records", do(true))
	mux.HandleFunc("POST api.hetzner.cloud/v1/zones/{zone}/rrsets/{sub}/{kind}/actions/remove_records", do(false))
	mux.HandleFunc("DELETE api.hetzner.cloud/v1/zones/{zone}/rrsets/{sub}/{kind}", allowed("Authorization", "Bearer "+token, func(w http.ResponseWriter, r *http.Request) {
		name := key(full(r.PathValue("sub"), r.PathValue("zone")), r.PathValue("kind"))
		p.set(name)
		delete(p.ttl, name)
		say(w, http.StatusCreated, map[string]any{"action": action})
	}))
	mux.HandleFunc("POST api.hetzner.cloud/v1/zones/{zone}/rrsets", allowed("Authorization", "Bearer "+token, func(w http.ResponseWriter, r *http.Request) {
		var in change
		read(p.t, r, &in)
		name := key(full(in.Name, r.PathValue("zone")), in.Type)
		for _, record := range in.Records {
			p.add(name, unquote(record.Value))
		}
		p.ttl[name] = in.TTL
		say(w, http.StatusCreated, map[string]any{"rrset": map[string]any{"id": in.Name + "/" + in.Type, "name": in.Name, "type": in.Type, "ttl": in.TTL, "records": in.Records, "zone": 1}, "action": action})
	}))
	mux.HandleFunc("GET api.hetzner.cloud/v1/actions", func(w http.ResponseWriter, r *http.Request) {
		say(w, http.StatusOK, map[string]any{"actions": []any{action}, "meta": map[string]any{"pagination": map[string]any{"page": 1, "per_page": 50, "last_page": 1, "total_entries": 1}}})
	})
}

// api.gandi.net/docs/livedns: whole sets below an address that the domain names.
func (p *provider) gandi(mux *http.ServeMux) {
	bearer := func(h http.HandlerFunc) http.HandlerFunc { return allowed("Authorization", "Bearer "+token, h) }
	mux.HandleFunc("GET api.gandi.net/v5/livedns/domains/{zone}", bearer(func(w http.ResponseWriter, r *http.Request) {
		if zone := r.PathValue("zone"); zone != "example.org" {
			say(w, http.StatusNotFound, map[string]any{"code": 404, "message": "no such domain"})
			return
		}
		say(w, http.StatusOK, map[string]string{"fqdn": "example.org", "domain_records_href": "https://api.gandi.net/v5/livedns/domains/example.org/records"})
	}))
	const records = "api.gandi.net/v5/livedns/domains/{zone}/records/{sub}/{kind}"
	mux.HandleFunc("GET "+records, bearer(func(w http.ResponseWriter, r *http.Request) {
		var values []string
		kind := r.PathValue("kind")
		for _, t := range p.texts(key(full(r.PathValue("sub"), r.PathValue("zone")), kind)) {
			values = append(values, quoted(kind, t))
		}
		if len(values) == 0 {
			say(w, http.StatusNotFound, map[string]any{"code": 404, "message": "Can't find the DNS record"})
			return
		}
		say(w, http.StatusOK, map[string]any{"rrset_name": r.PathValue("sub"), "rrset_type": kind, "rrset_ttl": 300, "rrset_values": values})
	}))
	mux.HandleFunc("PUT "+records, bearer(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			TTL    int      `json:"rrset_ttl"`
			Values []string `json:"rrset_values"`
		}
		read(p.t, r, &in)
		if in.TTL < 300 {
			say(w, http.StatusBadRequest, map[string]any{"code": 400, "message": "rrset_ttl: 300 at least"})
			return
		}
		var texts []string
		for _, v := range in.Values {
			texts = append(texts, unquote(v))
		}
		p.set(key(full(r.PathValue("sub"), r.PathValue("zone")), r.PathValue("kind")), texts...)
		say(w, http.StatusCreated, map[string]string{"message": "DNS Record Created"})
	}))
	mux.HandleFunc("DELETE "+records, bearer(func(w http.ResponseWriter, r *http.Request) {
		p.set(key(full(r.PathValue("sub"), r.PathValue("zone")), r.PathValue("kind")))
		w.WriteHeader(http.StatusNoContent)
	}))
}

// help.ovhcloud.com, "First steps with the API": every request is signed; a zone is
// served as it was until it is refreshed.
func (p *provider) ovh(mux *http.ServeMux) {
	type record struct{ name, sub, kind, data string }
	ids, last := map[int]record{}, 0
	signed := func(h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				p.t.Error(err)
			}
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			sum := sha1.Sum([]byte(strings.Join([]string{token + "s", token + "c", r.Method, "https://eu.api.ovh.com" + r.URL.RequestURI(), string(body), r.Header.Get("X-Ovh-Timestamp")}, "+")))
			if r.Header.Get("X-Ovh-Application") != token+"k" || r.Header.Get("X-Ovh-Consumer") != token+"c" || r.Header.Get("X-Ovh-Signature") != fmt.Sprintf("$1$%x", sum) {
				say(w, http.StatusForbidden, map[string]string{"class": "Client::Forbidden", "message": "Invalid signature of " + r.Header.Get("X-Ovh-Application")})
				return
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			h(w, r)
		}
	}
	mux.HandleFunc("GET eu.api.ovh.com/1.0/auth/time", func(w http.ResponseWriter, r *http.Request) { say(w, http.StatusOK, time.Now().Unix()) })
	mux.HandleFunc("POST eu.api.ovh.com/1.0/domain/zone/{zone}/record", signed(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			FieldType string `json:"fieldType"`
			SubDomain string `json:"subDomain"`
			TTL       int    `json:"ttl"`
			Target    string `json:"target"`
		}
		read(p.t, r, &in)
		last++
		ids[last] = record{key(full(in.SubDomain, r.PathValue("zone")), in.FieldType), in.SubDomain, in.FieldType, in.Target}
		say(w, http.StatusOK, map[string]any{"id": last, "fieldType": in.FieldType, "subDomain": in.SubDomain, "ttl": in.TTL, "target": quoted(in.FieldType, in.Target), "zone": r.PathValue("zone")})
	}))
	mux.HandleFunc("GET eu.api.ovh.com/1.0/domain/zone/{zone}/record", signed(func(w http.ResponseWriter, r *http.Request) {
		all := []int{}
		for id, is := range ids {
			if is.sub == r.URL.Query().Get("subDomain") && is.kind == r.URL.Query().Get("fieldType") {
				all = append(all, id)
			}
		}
		say(w, http.StatusOK, all)
	}))
	mux.HandleFunc("GET eu.api.ovh.com/1.0/domain/zone/{zone}/record/{id}", signed(func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.Atoi(r.PathValue("id"))
		say(w, http.StatusOK, map[string]any{"id": id, "fieldType": ids[id].kind, "subDomain": ids[id].sub, "ttl": 60, "target": quoted(ids[id].kind, ids[id].data)})
	}))
	mux.HandleFunc("DELETE eu.api.ovh.com/1.0/domain/zone/{zone}/record/{id}", signed(func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.Atoi(r.PathValue("id"))
		delete(ids, id)
		say(w, http.StatusOK, nil)
	}))
	mux.HandleFunc("POST eu.api.ovh.com/1.0/domain/zone/{zone}/refresh", signed(func(w http.ResponseWriter, r *http.Request) {
		if p.stuck {
			say(w, http.StatusInternalServerError, map[string]string{"message": "later"})
			return
		}
		clear(p.at)
		for _, is := range ids {
			p.at[is.name] = append(p.at[is.name], is.data)
		}
		say(w, http.StatusOK, nil)
	}))
}

// github.com/joohoi/acme-dns: the newest two texts of a subdomain; none is taken away.
func (p *provider) acmeDNS(mux *http.ServeMux) {
	mux.HandleFunc("POST acme-dns.example.org/update", allowed("X-Api-User", token+"u", allowed("X-Api-Key", token+"p", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Subdomain string `json:"subdomain"`
			Txt       string `json:"txt"`
		}
		read(p.t, r, &in)
		if in.Subdomain != "d420c923" || len(in.Txt) != 43 {
			say(w, http.StatusBadRequest, map[string]string{"error": "bad_txt"})
			return
		}
		p.add("d420c923.acme-dns.example.org", in.Txt)
		say(w, http.StatusOK, map[string]string{"txt": in.Txt})
	})))
}

// serve answers for every provider, whatever host is asked for.
func serve(t *testing.T) *provider {
	t.Helper()
	p := &provider{t: t, at: map[string][]string{}, ttl: map[string]int{}}
	mux := http.NewServeMux()
	for _, add := range []func(*http.ServeMux){p.duckDNS, p.deSEC, p.cloudflare, p.hetzner, p.gandi, p.ovh, p.acmeDNS} {
		add(mux)
	}
	server := httptest.NewUnstartedServer(mux)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	before := http.DefaultTransport
	inner := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}}
	http.DefaultTransport = inner // the providers' modules have no other way to be led elsewhere
	t.Cleanup(func() {
		http.DefaultTransport = before
		inner.CloseIdleConnections()
		server.Close()
	})
	return p
}

func secretsOf(provider string) []string {
	switch provider {
	case OVH:
		return []string{token + "k", token + "s", token + "c"}
	case ACMEDNS:
		return []string{token + "u", token + "p"}
	}
	return []string{token}
}

func zoneOf(_ context.Context, name string) (string, error) {
	switch {
	case strings.HasSuffix(name, ".duckdns.org"):
		return "duckdns.org", nil
	case strings.HasSuffix(name, ".acme-dns.example.org"):
		return "acme-dns.example.org", nil
	}
	return "example.org", nil
}

// A text is written and taken away again, by each provider's own API. What is known of
// these APIs is their documentation: the real ones were not asked.
func TestEveryProvider(t *testing.T) {
	for _, word := range Providers() {
		if word == RFC2136 {
			continue // TestDynamicUpdate
		}
		t.Run(word, func(t *testing.T) {
			p := serve(t)
			name, kept := challenge, challenge
			switch word {
			case DuckDNS:
				name, kept = "_acme-challenge.house.duckdns.org", "house.duckdns.org"
			case ACMEDNS:
				name = "d420c923.acme-dns.example.org"
				kept = name
			}
			settings := Settings{Provider: word, Server: "https://acme-dns.example.org/", Subdomain: "d420c923"}
			z, err := Open(settings, secretsOf(word), zoneOf)
			if err != nil {
				t.Fatal(err)
			}
			if err := z.Present(t.Context(), name, text); err != nil {
				t.Fatal(err)
			}
			if got := p.texts(kept); !slices.Equal(got, []string{text}) {
				t.Fatalf("written: %q", got)
			}
			if err := z.CleanUp(t.Context(), name, text); err != nil {
				t.Fatal(err)
			}
			if got := p.texts(kept); len(got) != 0 && word != ACMEDNS {
				t.Errorf("left: %q", got)
			}

			// A wrong secret is an error that does not tell it.
			wrong := secretsOf(word)
			for i := range wrong {
				wrong[i] = strings.Replace(wrong[i], "0a1b", "ffff", 1)
			}
			z, err = Open(settings, wrong, zoneOf)
			if err != nil {
				t.Fatal(err)
			}
			err = z.Present(t.Context(), name, text)
			if err == nil {
				t.Fatal("a wrong secret is taken")
			}
			if strings.Contains(err.Error(), "ffff2c3d") {
				t.Errorf("the secret is told: %v", err)
			}
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			if err := z.Present(ended, name, text); err == nil {
				t.Error("nobody waits, and it succeeds")
			}
		})
	}
}

// A real name server takes signed updates and refuses others (RFC 2136, RFC 8945).
func TestDynamicUpdate(t *testing.T) {
	const key = "c2l4dGVlbiBieXRlcyBvZiBrZXk="
	stream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var texts []string
	started, ended := make(chan struct{}), make(chan error, 1)
	server := &dns.Server{Listener: stream, TsigSecret: map[string]string{"home.": key}, NotifyStartedFunc: func() { close(started) },
		MsgAcceptFunc: func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			answer := new(dns.Msg).SetReply(q)
			sig := q.IsTsig()
			if sig == nil || w.TsigStatus() != nil || q.Opcode != dns.OpcodeUpdate || q.Question[0].Name != "example.org." {
				answer.Rcode = dns.RcodeNotAuth
			} else {
				answer.SetTsig(sig.Hdr.Name, sig.Algorithm, 300, time.Now().Unix())
				for _, rr := range q.Ns {
					mu.Lock()
					if r, ok := rr.(*dns.TXT); ok && r.Hdr.Class == dns.ClassINET {
						texts = append(texts, r.Hdr.Name+" "+r.Txt[0])
					} else if ok {
						texts = slices.DeleteFunc(texts, func(s string) bool { return s == r.Hdr.Name+" "+r.Txt[0] })
					}
					mu.Unlock()
				}
			}
			_ = w.WriteMsg(answer)
		})}
	go func() { ended <- server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = server.Shutdown(); <-ended })

	settings := Settings{Provider: RFC2136, Server: stream.Addr().String(), KeyName: "home", Zone: "example.org"}
	z, err := Open(settings, []string{key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := z.Present(t.Context(), challenge, text); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(texts, []string{challenge + ". " + text}) {
		t.Errorf("written: %q", texts)
	}
	if err := z.CleanUp(t.Context(), challenge, text); err != nil || len(texts) != 0 {
		t.Errorf("left: %q, %v", texts, err)
	}
	if z, err = Open(settings, []string{"d3Jvbmc="}, nil); err != nil {
		t.Fatal(err)
	}
	if err := z.Present(t.Context(), challenge, text); err == nil || len(texts) != 0 {
		t.Errorf("a wrong key is taken: %v %q", err, texts)
	}
}

// What is missing or cannot be is told before anybody is asked.
func TestOpenRefuses(t *testing.T) {
	for what, c := range map[string]struct {
		s       Settings
		secrets []string
	}{
		"no such provider":      {Settings{Provider: "godaddy"}, []string{token}},
		"no secret":             {Settings{Provider: DeSEC}, nil},
		"an empty one":          {Settings{Provider: Hetzner}, []string{""}},
		"too few":               {Settings{Provider: OVH}, []string{token}},
		"a line end in it":      {Settings{Provider: Cloudflare}, []string{token + "\nX-Evil: 1"}},
		"no token of DuckDNS'":  {Settings{Provider: DuckDNS}, []string{"short"}},
		"no server to update":   {Settings{Provider: RFC2136, KeyName: "k"}, []string{"AAAA"}},
		"no name of the key":    {Settings{Provider: RFC2136, Server: "192.0.2.1:53"}, []string{"AAAA"}},
		"a key that is none":    {Settings{Provider: RFC2136, Server: "192.0.2.1:53", KeyName: "k"}, []string{"%"}},
		"no server of acme-dns": {Settings{Provider: ACMEDNS, Subdomain: "x"}, []string{"u", "p"}},
		"no subdomain":          {Settings{Provider: ACMEDNS, Server: "https://acme-dns.example.org"}, []string{"u", "p"}},
	} {
		if _, err := Open(c.s, c.secrets, zoneOf); err == nil {
			t.Errorf("%s: opened", what)
		}
	}
	for _, word := range Providers() {
		if len(Secrets(word)) == 0 {
			t.Errorf("%s has no secret", word)
		}
	}
	z, err := Open(Settings{Provider: DeSEC}, []string{token}, func(context.Context, string) (string, error) { return "", errors.New("nobody knows") })
	if err != nil {
		t.Fatal(err)
	}
	if err := z.Present(t.Context(), challenge, text); err == nil || !strings.Contains(err.Error(), "nobody knows") {
		t.Errorf("without a zone: %v", err)
	}
}
