package web

import (
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"rsc.io/qr"
)

//go:embed static
var staticFiles embed.FS

// static serves a file of the pages.
func (p *Pages) static(c *call) error {
	kind, ok := map[string]string{
		".css": "text/css; charset=utf-8",
		".js":  "text/javascript; charset=utf-8",
		".svg": "image/svg+xml",
	}[path.Ext(c.arg)]
	if !ok {
		return errNoRoute
	}
	file, err := staticFiles.ReadFile("static/" + c.arg)
	if errors.Is(err, fs.ErrNotExist) {
		return errNoRoute
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", c.arg, err)
	}
	p.send(c, http.StatusOK, kind, file)
	return nil
}

// Plain reports whether what is asked for may be answered where there is no TLS: files
// that are the same for everybody, whether Home Assistant is back, and what has a device
// trust the local authority, which must be reached before it does.
func (p *Pages) Plain(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	path := r.URL.Path
	return strings.HasPrefix(path, pathStatic) || path == apiPrefix+"ready" || path == pathTrust || strings.HasPrefix(path, pathTrust+"/")
}

// pictureOf returns a QR code of a text as a data: URL.
func pictureOf(text string) (string, error) {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return "", fmt.Errorf("draw a QR code: %w", err)
	}
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(code.PNG()), nil
}
