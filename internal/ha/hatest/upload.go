package hatest

import (
	"encoding/binary"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// imageLimit is the largest picture that may be uploaded.
const imageLimit = 10 << 20

// keptImages is how many uploaded pictures are remembered.
const keptImages = 4

// uploads are what clients gave the home. Of backups only the size is kept.
type uploads struct {
	mu      sync.Mutex
	backups map[string]int64
	images  []uploaded
	speech  map[string]bool // names of what can be heard at tts_proxy
}

type uploaded struct {
	id, kind string
	data     []byte
}

// part finds the first part of a multipart body.
func (r *request) part() (*multipart.Part, error) {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, err
	}
	return multipart.NewReader(r.Body, params["boundary"]).NextPart()
}

// uploadBackup is POST /api/backup/upload: any length, counted as it comes.
func (h *Home) uploadBackup(r *request) {
	if _, ok := r.value("agent_id"); !ok {
		r.empty(http.StatusBadRequest)
		return
	}
	part, err := r.part()
	if err != nil {
		r.refuse(http.StatusInternalServerError)
		return
	}
	n, err := io.Copy(io.Discard, part)
	if err != nil {
		r.refuse(http.StatusInternalServerError)
		return
	}
	id := hexID(4)
	h.uploads.mu.Lock()
	if h.uploads.backups == nil {
		h.uploads.backups = map[string]int64{}
	}
	h.uploads.backups[id] = n
	h.uploads.mu.Unlock()
	r.json(http.StatusCreated, object{"backup_id": id})
}

// zeros is a reader of as many zero bytes as wanted.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// downloadBackup is GET /api/backup/download/{id}: as many bytes as came, all zero.
func (h *Home) downloadBackup(r *request) {
	if _, ok := r.value("agent_id"); !ok {
		r.empty(http.StatusBadRequest)
		return
	}
	h.uploads.mu.Lock()
	n, ok := h.uploads.backups[r.args["id"]]
	h.uploads.mu.Unlock()
	if !ok {
		r.empty(http.StatusNotFound)
		return
	}
	head := r.w.Header()
	head.Set("Content-Type", "application/x-tar")
	head.Set("Content-Disposition", "attachment; filename=backup.tar")
	head.Set("Content-Length", strconv.FormatInt(n, 10))
	_, _ = io.CopyN(r.w, zeros{}, n) // the client may go
}

// uploadImage is POST /api/image/upload.
func (h *Home) uploadImage(r *request) {
	r.Body = http.MaxBytesReader(nil, r.Body, imageLimit+4096)
	part, err := r.part()
	if err != nil {
		r.refuse(http.StatusBadRequest)
		return
	}
	data, err := io.ReadAll(part)
	if err != nil {
		r.plain(http.StatusRequestEntityTooLarge, "Maximum request body size "+strconv.Itoa(imageLimit)+" exceeded.")
		return
	}
	u := uploaded{id: hexID(16), kind: part.Header.Get("Content-Type"), data: data}
	if !slices.Contains([]string{"image/gif", "image/jpeg", "image/png"}, u.kind) {
		r.refuse(http.StatusBadRequest)
		return
	}
	h.uploads.mu.Lock()
	h.uploads.images = append(h.uploads.images, u)
	if len(h.uploads.images) > keptImages {
		h.uploads.images = h.uploads.images[1:]
	}
	h.uploads.mu.Unlock()
	r.json(http.StatusOK, object{"id": u.id, "content_type": u.kind, "name": part.FileName(), "filesize": len(data), "uploaded_at": stamp(h.now())})
}

// serveImage is GET /api/image/serve/{id}/{size}; nothing is scaled.
func (h *Home) serveImage(r *request) {
	h.uploads.mu.Lock()
	defer h.uploads.mu.Unlock()
	for _, u := range h.uploads.images {
		if u.id == r.args["id"] && slices.Contains([]string{"original", "256x256", "512x512"}, r.args["size"]) {
			r.w.Header().Set("Cache-Control", "public, max-age=2678400")
			r.bytes(http.StatusOK, u.kind, u.data)
			return
		}
	}
	r.refuse(http.StatusNotFound)
}

// ttsURL is POST /api/tts_get_url.
func (h *Home) ttsURL(r *request) {
	data, ok := r.object(schema{loose: true, fields: []field{need("message", isString)}})
	if !ok {
		return
	}
	if data["engine_id"] == nil && data["platform"] == nil {
		r.message(http.StatusBadRequest, "Must specify platform and message")
		return
	}
	name := hexID(16) + ".wav"
	h.uploads.mu.Lock()
	if h.uploads.speech == nil {
		h.uploads.speech = map[string]bool{}
	}
	h.uploads.speech[name] = true
	h.uploads.mu.Unlock()
	path := "/api/tts_proxy/" + name
	r.json(http.StatusOK, object{"url": r.scheme + "://" + r.host + path, "path": path})
}

// ttsProxy is GET /api/tts_proxy/{name}: a second of silence.
func (h *Home) ttsProxy(r *request) {
	h.uploads.mu.Lock()
	ok := h.uploads.speech[r.args["name"]]
	h.uploads.mu.Unlock()
	if !ok {
		r.empty(http.StatusNotFound)
		return
	}
	r.bytes(http.StatusOK, "audio/x-wav", silence())
}

// silence is one second of it, as 8 kHz mono WAV.
func silence() []byte {
	const rate = 8000
	b := []byte("RIFF")
	b = binary.LittleEndian.AppendUint32(b, 36+rate)
	b = append(b, "WAVEfmt "...)
	b = binary.LittleEndian.AppendUint32(b, 16)
	for _, n := range []uint16{1, 1} {
		b = binary.LittleEndian.AppendUint16(b, n)
	}
	b = binary.LittleEndian.AppendUint32(b, rate)
	b = binary.LittleEndian.AppendUint32(b, rate)
	b = binary.LittleEndian.AppendUint16(b, 1)
	b = binary.LittleEndian.AppendUint16(b, 8)
	b = append(b, "data"...)
	b = binary.LittleEndian.AppendUint32(b, rate)
	return append(b, strings.Repeat("\x80", rate)...)
}
