package hatest

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

const cameraID = "camera.demo_camera"

// frames is how many different pictures the camera has; boundary parts them.
const (
	frames   = 12
	boundary = "--frameboundary"
)

// cameras are the one camera: its tokens and its pictures.
type cameras struct {
	mu     sync.Mutex
	tokens []string // the last two are good
	drawn  [frames][]byte
}

func (c *cameras) open(h *Home) {
	c.mu.Lock()
	c.tokens = []string{hexID(32)}
	c.mu.Unlock()
	c.turn(h)
}

// turn gives the camera a new token; the one before stays good until the next turn.
func (c *cameras) turn(h *Home) {
	c.mu.Lock()
	token := hexID(32)
	c.tokens = append(c.tokens[max(0, len(c.tokens)-1):], token)
	c.mu.Unlock()
	s, ok := h.rooms.get(cameraID)
	if !ok {
		return
	}
	attributes := with(with(s.Attributes, "access_token", token), "entity_picture", "/api/camera_proxy/"+cameraID+"?token="+token)
	h.rooms.set(h, cameraID, s.State, attributes, h.context(nil))
}

// good says whether a token opens the camera.
func (c *cameras) good(token string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.tokens, token)
}

// frame draws the n-th picture, once.
func (c *cameras) frame(n int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drawn[n%frames] == nil {
		c.drawn[n%frames] = picture(n % frames)
	}
	return c.drawn[n%frames]
}

// picture is a house at dusk; a light goes along the path in front of it.
func picture(n int) []byte {
	const wide, high = 480, 270
	m := image.NewRGBA(image.Rect(0, 0, wide, high))
	for y := range high {
		c := color.RGBA{uint8(24 + y/3), uint8(34 + y/4), uint8(72 + y/5), 255}
		if y > 200 {
			c = color.RGBA{34, 48, 38, 255}
		}
		for x := range wide {
			m.SetRGBA(x, y, c)
		}
	}
	box := func(x, y, w, h int, c color.RGBA) {
		draw.Draw(m, image.Rect(x, y, x+w, y+h), image.NewUniform(c), image.Point{}, draw.Src)
	}
	for row := range 70 { // the roof
		box(240-row*2, 50+row, row*4, 1, color.RGBA{92, 52, 46, 255})
	}
	box(120, 120, 240, 90, color.RGBA{176, 160, 138, 255})
	box(215, 145, 44, 65, color.RGBA{70, 46, 34, 255})
	box(150, 140, 40, 36, color.RGBA{255, 214, 120, 255})
	box(286, 140, 40, 36, color.RGBA{255, 214, 120, 255})
	at := n * wide / frames
	box(at, 228, 16, 16, color.RGBA{255, 255, 220, 255})
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 70}); err != nil {
		return nil
	}
	return b.Bytes()
}

// cameraView lets those in who have a login, a signed path or the camera's token.
func (h *Home) cameraView(view func(*request)) func(*request) {
	return func(r *request) {
		token, _ := r.value("token")
		in := r.who != nil
		if r.args["entity"] != cameraID {
			if in || !h.release.since(2026, 8) {
				r.refuse(http.StatusNotFound)
			} else {
				r.refuse(http.StatusUnauthorized)
			}
			return
		}
		switch {
		case in || h.cameras.good(token):
			if s, _ := h.rooms.get(cameraID); s.State == "idle" {
				r.refuse(http.StatusServiceUnavailable)
				return
			}
			view(r)
		case r.Header.Get("Authorization") != "":
			r.refuse(http.StatusUnauthorized)
		default:
			r.refuse(http.StatusForbidden)
		}
	}
}

func (h *Home) still(r *request) {
	r.bytes(http.StatusOK, "image/jpeg", h.cameras.frame(int(h.now().Unix())))
}

// moving is the camera's MJPEG stream: one picture after another until the
// client goes.
func (h *Home) moving(r *request) {
	every := 500 * time.Millisecond
	if s, ok := r.value("interval"); ok {
		seconds, err := strconv.ParseFloat(s, 64)
		if err != nil || seconds < 0.5 {
			r.refuse(http.StatusBadRequest)
			return
		}
		every = time.Duration(seconds * float64(time.Second))
	}
	r.bare()
	r.w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary="+boundary)
	stop, remove := h.stream()
	defer remove()
	tick := time.NewTicker(every)
	defer tick.Stop()
	flush := http.NewResponseController(r.w)
	for n := 0; ; n++ {
		data := h.cameras.frame(n)
		if _, err := fmt.Fprintf(r.w, "%s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n", boundary, len(data), data); err != nil {
			return
		}
		if err := flush.Flush(); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-stop:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// stream enters an answer without end; stop is closed when it has to end.
func (h *Home) stream() (stop <-chan struct{}, remove func()) {
	ended := make(chan struct{})
	var once sync.Once
	return ended, h.links.add(func() { once.Do(func() { close(ended) }) })
}
