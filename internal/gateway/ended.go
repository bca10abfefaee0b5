package gateway

import (
	"net/http"
	"sync"
	"time"

	"gatehouse/internal/ha"
)

// The way back for a person whose session ended while a page was open
// (ha-frontend section 4). The page does not leave by itself: it must be told.

const (
	// pageLoad is how long after a navigation a socket may still be the first of its page. Telling
	// a first socket auth_invalid would cost a Home Assistant login.
	pageLoad = 15 * time.Second
	// endedMax bounds what is remembered of ended sessions.
	endedMax = 1024
)

// selfEndingWorker replaces a service worker from before the gate, which would go on
// showing its cached pages. It keeps the precache, so that nothing is fetched twice.
const selfEndingWorker = `self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (e) => e.waitUntil((async () => {
  for (const k of await caches.keys()) if (!k.includes('precache')) await caches.delete(k);
  await self.clients.claim();
  const pages = await self.clients.matchAll({ type: 'window' });
  await self.registration.unregister();
  for (const p of pages) p.navigate(p.url).catch(() => {});
})()));
`

// welcomeBack answers a browser whose session ended, where it needs more than a
// stranger's refusal; false where it does not.
func (f *flight) welcomeBack() bool {
	switch {
	case f.route == ha.RouteWorker && f.gw.ended.staleShell(f.known.Session):
		h := f.w.Header()
		h.Set("Content-Type", "text/javascript")
		h.Set("Cache-Control", "no-store")
		f.w.WriteHeader(http.StatusOK)
		_, _ = f.w.Write([]byte(selfEndingWorker))
		return true
	case f.upgrade && f.route == ha.RouteWebSocket && f.sameOrigin() && f.gw.ended.reconnects(f.known.Session):
		f.sayInvalid()
		return true
	}
	return false
}

// endedPages remembers what each ended session's browser was last seen doing.
type endedPages struct {
	now func() time.Time
	mu  sync.Mutex
	at  map[string]*endedPage
}

type endedPage struct {
	seen      time.Time
	navigated time.Time // last navigation
	ours      time.Time // last request for something below /_gatehouse/: our page is what is shown
	told      time.Time // last auth_invalid
}

func newEndedPages(now func() time.Time) *endedPages {
	return &endedPages{now: now, at: make(map[string]*endedPage)}
}

// saw notes a request of an ended session.
func (e *endedPages) saw(session string, s shape, own bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	p := e.page(session, now)
	switch {
	case own:
		p.ours = now
	case s == shapeNavigation || s == shapeAppPage:
		p.navigated = now
	}
}

// reconnects reports whether a socket of an ended session belongs to a page that
// was live before, and says yes once per page load.
func (e *endedPages) reconnects(session string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	p := e.page(session, now)
	if now.Sub(p.navigated) < pageLoad || now.Sub(p.told) < pageLoad {
		return false
	}
	p.told = now
	return true
}

// staleShell reports whether the browser seems to show a cached page although its
// navigation was refused: nothing of our sign-in page was asked for after it.
func (e *endedPages) staleShell(session string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.page(session, e.now())
	return p.ours.Before(p.navigated) || p.navigated.IsZero()
}

// page finds or makes a session's entry; the one seen longest ago makes room.
func (e *endedPages) page(session string, now time.Time) *endedPage {
	p := e.at[session]
	if p == nil {
		if len(e.at) >= endedMax {
			e.forgetOldest()
		}
		p = &endedPage{}
		e.at[session] = p
	}
	p.seen = now
	return p
}

func (e *endedPages) forgetOldest() {
	var oldest string
	var at time.Time
	for id, p := range e.at {
		if oldest == "" || p.seen.Before(at) {
			oldest, at = id, p.seen
		}
	}
	delete(e.at, oldest)
}
