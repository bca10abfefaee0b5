package web

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"

	"github.com/go-json-experiment/json"
)

// fromHere reports whether a page of this very origin sent the request. Browsers say
// so in Origin, or where a page's referrer policy hides that, in Sec-Fetch-Site;
// neither can be set by a page. What says neither is no browser of these years.
func (c *call) fromHere() bool {
	origins, sites := c.r.Header["Origin"], c.r.Header["Sec-Fetch-Site"]
	if len(origins) > 1 || len(sites) > 1 {
		return false
	}
	if len(sites) == 1 && sites[0] != "same-origin" {
		return false
	}
	if len(origins) == 1 && origins[0] != "null" {
		return c.visit.Origin != "" && origins[0] == c.visit.Origin
	}
	return len(sites) == 1
}

// fromNowhere reports whether nothing says what page sent the request: no browser does
// that, and what another site's page sent must count against nobody's address.
func (c *call) fromNowhere() bool {
	return len(c.r.Header["Origin"]) == 0 && len(c.r.Header["Sec-Fetch-Site"]) == 0
}

// hasType reports whether the body is in the one form that the route takes. A page of
// another site could send a form without asking first, but no JSON.
func (c *call) hasType() bool {
	values := c.r.Header["Content-Type"]
	if len(values) != 1 {
		return false
	}
	kind, _, err := mime.ParseMediaType(values[0])
	if err != nil {
		return false
	}
	switch c.route.takes {
	case form:
		return kind == "application/x-www-form-urlencoded"
	case object:
		return kind == "application/json"
	}
	return false
}

// read reads the JSON object of a request. A name that is unknown, doubled or in
// another case is an error, and so is what follows the object.
func read[T any](c *call) (T, error) {
	var v T
	if err := json.UnmarshalRead(c.r.Body, &v, json.RejectUnknownMembers(true)); err != nil {
		return v, fmt.Errorf("%w: %w", errBody, err)
	}
	return v, nil
}

// fields reads the form of a request, its body alone.
func (c *call) fields() (url.Values, error) {
	if err := c.r.ParseForm(); err != nil {
		return nil, fmt.Errorf("%w: %w", errBody, err)
	}
	return c.r.PostForm, nil
}

// maxNext bounds the target that one is brought back to, in bytes.
const maxNext = 4096

// nextOr returns target if it is a path on this host that a browser may be sent to,
// and otherwise "/". It takes only what every browser reads in one way: printable
// ASCII, one slash in front, no empty or dotted segment, no backslash, no fragment.
func nextOr(target string) string {
	if !isLocal(target) {
		return "/"
	}
	return target
}

func isLocal(target string) bool {
	if len(target) > maxNext || target == "" || target[0] != '/' {
		return false
	}
	inPath, segment := true, 0 // where the path's last segment began
	for k := range len(target) {
		b := target[k]
		if b <= ' ' || b >= 0x7f || b == '\\' || b == '#' || b == '"' || b == '<' || b == '>' {
			return false
		}
		if !inPath {
			continue
		}
		if b == '?' {
			inPath = false
		}
		if b != '/' && b != '?' || k == 0 {
			continue
		}
		if isDotted(target[segment+1:k]) || b == '/' && segment+1 == k {
			return false
		}
		segment = k
	}
	return !inPath || !isDotted(target[segment+1:])
}

func isDotted(segment string) bool { return segment == "." || segment == ".." }

// here returns the target of a request if one can be brought back to it, and
// otherwise "/".
func (c *call) here() string {
	if c.r.Method != http.MethodGet || c.r.URL.Path == pathSignIn {
		return "/"
	}
	return nextOr(c.r.RequestURI)
}
