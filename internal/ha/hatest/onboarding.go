package hatest

import (
	"net/http"
	"slices"
)

// onboardingSteps are what a fresh home asks its owner for.
var onboardingSteps = []string{"user", "core_config", "analytics", "integration"}

// done says whether a step of onboarding is done.
func (a *accounts) done(step string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.steps, step)
}

// onboarded says whether every step is done.
func (a *accounts) onboarded() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.steps) == len(onboardingSteps)
}

// finish marks a step; false if it was done already. The caller holds mu.
func (a *accounts) finish(step string) bool {
	if slices.Contains(a.steps, step) {
		return false
	}
	a.steps = append(a.steps, step)
	return true
}

// fresh lets a view of onboarding be seen until the first restart after it.
func fresh(view func(*request)) func(*request) {
	return func(r *request) {
		r.h.accounts.mu.Lock()
		open := r.h.accounts.fresh
		r.h.accounts.mu.Unlock()
		if !open {
			r.refuse(http.StatusNotFound)
			return
		}
		view(r)
	}
}

// restarted forgets what does not outlive a restart.
func (a *accounts) restarted() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.steps) == len(onboardingSteps) {
		a.fresh = false
	}
	a.signKey = []byte(hexID(64))
	clear(a.flows)
	clear(a.codes)
}

func (h *Home) onboardingSteps(r *request) {
	list := []any{}
	for _, step := range onboardingSteps {
		list = append(list, object{"step": step, "done": h.accounts.done(step)})
	}
	r.json(http.StatusOK, list)
}

// onboardingUser makes the owner, whoever asks first.
func (h *Home) onboardingUser(r *request) {
	data, ok := r.object(fields(need("name", isString), need("username", isString), need("password", isString), need("client_id", isString), need("language", isString)))
	if !ok {
		return
	}
	a := &h.accounts
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.finish("user") {
		r.message(http.StatusForbidden, "User step already done")
		return
	}
	u := &user{id: hexID(16), name: text(data, "name"), username: normal(text(data, "username")), password: text(data, "password"), owner: true, active: true, groups: []string{groupAdmin}}
	a.users = append(a.users, u)
	r.json(http.StatusOK, object{"auth_code": a.newCode(code{user: u, clientID: text(data, "client_id")})})
}

// onboardingStep is a step that this home has nothing to ask in.
func (h *Home) onboardingStep(step, name string) func(*request) {
	return func(r *request) {
		h.accounts.mu.Lock()
		ok := h.accounts.finish(step)
		h.accounts.mu.Unlock()
		if !ok {
			r.message(http.StatusForbidden, name+" step already done")
			return
		}
		r.json(http.StatusOK, object{})
	}
}

func (h *Home) onboardingIntegration(r *request) {
	data, ok := r.object(fields(need("client_id", isString), need("redirect_uri", isString)))
	if !ok {
		return
	}
	a := &h.accounts
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.finish("integration") {
		r.message(http.StatusForbidden, "Integration step already done")
		return
	}
	if !mayRedirect(text(data, "client_id"), text(data, "redirect_uri")) {
		r.message(http.StatusBadRequest, "invalid client id or redirect uri")
		return
	}
	r.json(http.StatusOK, object{"auth_code": a.newCode(code{user: r.who.user, clientID: text(data, "client_id")})})
}
